//! Reads the settings of Valkey.

use std::collections::BTreeMap;
use std::fmt::Display;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult};
use valkey_client::Fault;
use valkey_codec::Servers;

use crate::store_settings::{ASKED, StoreSettings};
use crate::{Error, Warning};

/// The code of the error of a server that requires a password.
const NO_PASSWORD: &str = "NOAUTH";

const CREDENTIALS: &str = "Check user, password and database in the URL";
const NO_PRIMARY: &str = "Name the primary, too";

/// Reads the settings of the store (of the primary, if the URL has several servers), and returns a
/// warning for each one that can break the guarantee. If the user may not call INFO or CONFIG GET,
/// one warning lists the settings that are not known.
pub async fn check_store(url: &str) -> Result<Vec<Warning>, Error> {
    let servers = Servers::parse(url).map_err(|error| Error::Config {
        setting: "the Valkey URL".into(),
        reason: error.to_string(),
    })?;
    let (place, mut store) = connect(&servers).await?;
    let info: Option<String> = ask(&place, redis::cmd("INFO").query_async(&mut store)).await?;
    // One name per command: older servers accept only one, and a pattern for all would fetch
    // passwords.
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

/// None if the user may not call this command, or the server does not support it.
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

/// Whether the server requires authentication, or rejected it.
fn is_stranger(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some(NO_PASSWORD)
}

/// Whether the error was sent by the server, unlike an error of the connection.
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
