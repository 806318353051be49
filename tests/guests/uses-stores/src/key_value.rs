//! Commands for key-value stores.

use bindings::wasi::keyvalue::{atomics, batch, store};
use spin_sdk::key_value::Store;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package tests:stores;
            world guest {
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
            }
        ",
        path: "../../../wit/deps/wasi-keyvalue",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

/// Executes commands, each of which is a line of words, through Spin's interface.
pub async fn run(label: &str, commands: &[&str]) -> Vec<String> {
    let store = match Store::open(label).await {
        Ok(store) => store,
        Err(error) => return vec![format!("{error:?}")],
    };
    let mut results = Vec::new();
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        results.push(match words.as_slice() {
            ["get", key] => format!("{:?}", store.get(key).await),
            ["set", key, value] => format!("{:?}", store.set(key, value.as_bytes()).await),
            ["delete", key] => format!("{:?}", store.delete(key).await),
            ["exists", key] => format!("{:?}", store.exists(key).await),
            ["keys"] => {
                let keys = store.get_keys().await.collect().await;
                let sorted = keys.map(|mut keys| {
                    keys.sort();
                    keys
                });
                format!("{sorted:?}")
            }
            _ => "no command".into(),
        });
    }
    results
}

/// The same, through the interface of WASI.
pub fn run_wasi(label: &str, commands: &[&str]) -> Vec<String> {
    let bucket = match store::open(label) {
        Ok(bucket) => bucket,
        Err(error) => return vec![format!("{error:?}")],
    };
    let execute = |command: &&str| {
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["get", key] => format!("{:?}", bucket.get(key)),
            ["set", key, value] => format!("{:?}", bucket.set(key, value.as_bytes())),
            ["delete", key] => format!("{:?}", bucket.delete(key)),
            ["exists", key] => format!("{:?}", bucket.exists(key)),
            ["increment", key] => format!("{:?}", atomics::increment(&bucket, key, 2)),
            ["get-many", keys @ ..] => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                format!("{:?}", batch::get_many(&bucket, &keys))
            }
            ["set-many", keys @ ..] => {
                let pairs = keys.iter().map(|key| (key.to_string(), b"many".to_vec()));
                format!("{:?}", batch::set_many(&bucket, &pairs.collect::<Vec<_>>()))
            }
            ["delete-many", keys @ ..] => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                format!("{:?}", batch::delete_many(&bucket, &keys))
            }
            // Another write comes between reading and swapping.
            ["swap", key] => swap(&bucket, key),
            _ => "no command".into(),
        }
    };
    commands.iter().map(execute).collect()
}

fn swap(bucket: &store::Bucket, key: &str) -> String {
    let Ok(cas) = atomics::Cas::new(bucket, key) else { return "no value".into() };
    let _ = bucket.set(key, b"between");
    match atomics::swap(cas, b"lost") {
        Err(atomics::CasError::CasFailed(cas)) => {
            format!("{:?} {:?}", cas.current(), atomics::swap(cas, b"swapped").is_ok())
        }
        other => format!("{:?}", other.is_ok()),
    }
}
