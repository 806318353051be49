//! Provides Spin's variables on hosts that do not: the variable `a_b` is the environment variable
//! `A_B`.

use bindings::exports::spin::variables::variables::{Error, Guest};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "tests:variables-from-environment/component",
        path: ["../../../wit/deps/spin-variables", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Variables;
    export!(Variables);
}

struct Variables;

impl Guest for Variables {
    async fn get(name: String) -> Result<String, Error> {
        std::env::var(name.to_uppercase()).map_err(|_| Error::Undefined(name))
    }
}
