//! The configuration, which is read at the first request to an instance.

use std::cell::OnceCell;

use guest_http::{config, invalid_variable, value};
use guest_valkey::Client;
use intake::{IntakeError, Problem};
use response_cache::{Config, VARIABLES};
use secrecy::ExposeSecret as _;

use crate::store::Store;

/// The variable with the URL of Valkey. Without a value, responses are stored in the instance.
const URL: &str = "cache_valkey_url";

thread_local! {
    static STORE: OnceCell<&'static Store> = const { OnceCell::new() };
}

/// The stored responses, with the configuration.
pub async fn store() -> Result<&'static Store, Problem> {
    config(&STORE, read).await
}

async fn read() -> Result<Store, IntakeError> {
    let mut values: [String; VARIABLES.len()] = Default::default();
    for (own, name) in values.iter_mut().zip(VARIABLES) {
        *own = value(name).await?;
    }
    let config = Config::new(&values).map_err(invalid_variable)?;
    let client =
        Client::configured(URL, config.valkey_url.expose_secret()).map_err(invalid_variable)?;
    Ok(Store::new(config, client))
}
