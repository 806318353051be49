//! The interfaces of older SDKs, whose functions are synchronous.

use bindings::fermyon::spin::{key_value, postgres as postgres2, redis};
use bindings::spin::postgres::postgres as postgres3;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package tests:older-stores;
            world guest {
                import spin:postgres/postgres@3.0.0;
                import fermyon:spin/postgres@2.0.0;
                import fermyon:spin/redis@2.0.0;
                import fermyon:spin/key-value@2.0.0;
            }
        ",
        path: ["../../../wit/deps/spin-postgres-3", "../../../wit/deps/fermyon-spin"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

/// Executes the statements through both older interfaces of PostgreSQL.
pub fn postgres(address: &str, statements: &[&str]) -> Vec<String> {
    let newer = postgres3::Connection::open(address);
    let older = postgres2::Connection::open(address);
    let (Ok(newer), Ok(older)) = (newer, older) else { return vec!["no connection".into()] };
    let results = statements.iter().flat_map(|statement| {
        let newer = newer.query(statement, &[]);
        [format!("{newer:?}"), format!("{:?}", older.query(statement, &[]))]
    });
    results.collect()
}

/// Sets, reads and deletes a key.
pub fn redis(address: &str) -> Vec<String> {
    let connection = match redis::Connection::open(address) {
        Ok(connection) => connection,
        Err(error) => return vec![format!("{error:?}")],
    };
    let get = redis::RedisParameter::Binary(b"older".to_vec());
    vec![
        format!("{:?}", connection.set("older", b"1")),
        format!("{:?}", connection.execute("GET", &[get])),
        format!("{:?}", connection.del(&["older".to_owned()])),
    ]
}

/// Sets and lists a key.
pub fn key_value(label: &str) -> Vec<String> {
    let store = match key_value::Store::open(label) {
        Ok(store) => store,
        Err(error) => return vec![format!("{error:?}")],
    };
    vec![format!("{:?}", store.set("older", b"1")), format!("{:?}", store.get_keys())]
}
