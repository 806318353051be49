//! Asks Valkey how it is set.

use std::collections::BTreeMap;
use std::fmt::Display;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult};
use valkey_client::Fault;
use valkey_codec::Servers;

use crate::store_settings::{ASKED, StoreSettings};
use crate::{Error, Warning};

/// The word with which a server answers who should have given a password.
const NO_PASSWORD: &str = "NOAUTH";

const CREDENTIALS: &str = "Check user, password and database in the URL";
const NO_PRIMARY: &str = "Name the primary, too";

/// Asks how the store is set, its primary if the URL names several servers, and answers a warning
/// for each setting that cannot keep the promise. Where this user may not use INFO or CONFIG GET,
/// one warning names what nobody told.
pub async fn check_store(url: &str) -> Result<Vec<Warning>, Error> {
    let servers = Servers::parse(url).map_err(|error| Error::Config {
        setting: "the Valkey URL".into(),
        reason: error.to_string(),
    })?;
    let (place, mut store) = connect(&servers).await?;
    let info: Option<String> = ask(&place, redis::cmd("INFO").query_async(&mut store)).await?;
    // One by one: older servers take one name only, and a pattern for all would fetch passwords.
    let mut names = redis::pipe();
    for name in ASKED {
        names.cmd("CONFIG").arg("GET").arg(name);
    }
    let told: Option<Vec<BTreeMap<String, String>>> =
        ask(&place, names.query_async(&mut store)).await?;
    let config = told.unwrap_or_default().into_iter().flatten().collect();
    let settings = StoreSettings::new(&info.unwrap_or_default(), &config);
    let mut warnings = settings.warnings();
    if servers.iter().len() > 1 {
        warnings.extend(settings.lone_primary());
    }
    Ok(warnings)
}

async fn connect(servers: &Servers) -> Result<(String, MultiplexedConnection), Error> {
    let connected = valkey_client::connect(servers).await;
    let (address, store) = connected.map_err(|error| no_primary(servers, &error))?;
    Ok((place(&address), store))
}

fn place(server: &impl Display) -> String {
    format!("Valkey at {server}")
}

/// None if this user may not ask that, or this server cannot be asked.
async fn ask<T>(
    place: &str,
    answer: impl Future<Output = RedisResult<T>>,
) -> Result<Option<T>, Error> {
    match answer.await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_denial(&error) => {
            tracing::debug!(%error, "Valkey does not tell its settings");
            Ok(None)
        }
        Err(error) => Err(fault(place, &error)),
    }
}

/// The server did not let us in, as far as it asks for a password at all.
fn is_stranger(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some(NO_PASSWORD)
}

/// An answer, if an unkind one.
fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

fn is_denial(error: &RedisError) -> bool {
    is_answer(error) && !is_stranger(error)
}

fn is_refusal(error: &RedisError) -> bool {
    is_answer(error) || is_stranger(error)
}

fn fault(place: &str, error: &RedisError) -> Error {
    if is_refusal(error) {
        Error::refused(place, error, CREDENTIALS)
    } else {
        Error::unreachable(place, error)
    }
}

fn no_primary(servers: &Servers, error: &valkey_client::Error) -> Error {
    let found = |what: fn(&Fault) -> bool| error.faults.iter().any(|(_, fault)| what(fault));
    if found(|fault| matches!(fault, Fault::Redis(error) if is_refusal(error))) {
        Error::refused(&place(servers), error, CREDENTIALS)
    } else if found(|fault| matches!(fault, Fault::Role(_))) {
        Error::refused(&place(servers), error, NO_PRIMARY)
    } else {
        Error::unreachable(&place(servers), error)
    }
}
