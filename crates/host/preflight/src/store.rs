//! Reads the settings of Valkey.

use std::collections::BTreeMap;
use std::fmt::Display;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult};
use valkey_client::Fault;
use valkey_codec::Servers;

use crate::store_settings::{PARAMETERS, StoreSettings};
use crate::{Error, Warning};

/// The code of the error of a server that requires a password.
const NO_PASSWORD: &str = "NOAUTH";

const CREDENTIALS: &str = "Check user, password and database in the URL";
const NO_PRIMARY: &str = "Add the primary to the URL";

/// Reads the settings of the store (of the primary, if the URL has several servers), and returns a
/// warning for each one that can break the guarantee. If the user may not call INFO or CONFIG GET,
/// one warning lists the settings that are not known. `authorities` are the certificates for TLS, in
/// PEM; empty for those of the system.
pub async fn check_store(url: &str, authorities: &str) -> Result<Vec<Warning>, Error> {
    let servers = Servers::parse(url).map_err(|error| Error::Config {
        setting: "the Valkey URL".into(),
        reason: error.to_string(),
    })?;
    let (server, mut store) = connect(&servers, authorities).await?;
    let info: Option<String> =
        unless_denied(&server, redis::cmd("INFO").query_async(&mut store)).await?;
    // One name per command: older servers accept only one, and a pattern for all would fetch
    // passwords.
    let mut names = redis::pipe();
    for name in PARAMETERS {
        names.cmd("CONFIG").arg("GET").arg(name);
    }
    let replies: Option<Vec<BTreeMap<String, String>>> =
        unless_denied(&server, names.query_async(&mut store)).await?;
    let config = replies.unwrap_or_default().into_iter().flatten().collect();
    let settings = StoreSettings::new(&info.unwrap_or_default(), &config);
    let mut warnings = settings.warnings();
    if servers.iter().len() > 1 || servers.service().is_some() {
        warnings.extend(settings.lone_primary());
    }
    Ok(warnings)
}

async fn connect(
    servers: &Servers,
    authorities: &str,
) -> Result<(String, MultiplexedConnection), Error> {
    let connected = valkey_client::connect(servers, authorities).await;
    let (address, store) = connected.map_err(|error| no_primary(servers, &error))?;
    Ok((name(&address), store))
}

/// The name of the server in errors.
fn name(server: &impl Display) -> String {
    format!("Valkey at {server}")
}

/// None if the user may not call this command, or the server does not support it.
async fn unless_denied<T>(
    server: &str,
    reply: impl Future<Output = RedisResult<T>>,
) -> Result<Option<T>, Error> {
    match reply.await {
        Ok(reply) => Ok(Some(reply)),
        Err(error) if is_denial(&error) => {
            tracing::debug!(%error, "Valkey does not report its settings");
            Ok(None)
        }
        Err(error) if is_refusal(&error) => Err(Error::refused(server, error, CREDENTIALS)),
        Err(error) => Err(Error::unreachable(server, error)),
    }
}

/// Whether the server requires authentication, or rejected it.
fn is_unauthenticated(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some(NO_PASSWORD)
}

/// Whether the error was sent by the server, unlike an error of the connection.
fn is_reply(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the user may not call the command, or the server does not support it.
fn is_denial(error: &RedisError) -> bool {
    is_reply(error) && !is_unauthenticated(error)
}

/// Whether the server rejected the client or the command.
fn is_refusal(error: &RedisError) -> bool {
    is_reply(error) || is_unauthenticated(error)
}

fn no_primary(servers: &Servers, error: &valkey_client::Error) -> Error {
    let any =
        |condition: fn(&Fault) -> bool| error.faults.iter().any(|(_, fault)| condition(fault));
    if any(|fault| matches!(fault, Fault::Redis(error) if is_refusal(error))) {
        Error::refused(&name(servers), error, CREDENTIALS)
    } else if any(|fault| matches!(fault, Fault::Role(_))) {
        Error::refused(&name(servers), error, NO_PRIMARY)
    } else {
        Error::unreachable(&name(servers), error)
    }
}
