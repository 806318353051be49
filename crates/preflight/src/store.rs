//! Asks Valkey how it is set.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, RedisResult,
};
use valkey_codec::Address;

use crate::store_settings::{ASKED, StoreSettings};
use crate::{Error, Warning};

/// How long it may take to connect and to say who we are.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take. A server that runs a script answers nobody else.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The word with which a server answers who should have given a password.
const NO_PASSWORD: &str = "NOAUTH";

const CREDENTIALS: &str = "Check user, password and database in the URL";

/// Asks how the store is set, and answers a warning for each setting that cannot keep the
/// promise. Where this user may not use INFO or CONFIG GET, one warning names what nobody told.
pub async fn check_store(url: &str) -> Result<Vec<Warning>, Error> {
    let address = Address::parse(url).map_err(|error| Error::Config {
        setting: "the Valkey URL".into(),
        reason: error.to_string(),
    })?;
    let place = format!("Valkey at {}:{}", address.host, address.port);
    let mut store = connect(address, &place).await?;
    let info: Option<String> = ask(&place, redis::cmd("INFO").query_async(&mut store)).await?;
    // One by one: older servers take one name only, and a pattern for all would fetch passwords.
    let mut names = redis::pipe();
    for name in ASKED {
        names.cmd("CONFIG").arg("GET").arg(name);
    }
    let told: Option<Vec<BTreeMap<String, String>>> =
        ask(&place, names.query_async(&mut store)).await?;
    let config = told.unwrap_or_default().into_iter().flatten().collect();
    Ok(StoreSettings::new(&info.unwrap_or_default(), &config).warnings())
}

async fn connect(address: Address, place: &str) -> Result<MultiplexedConnection, Error> {
    let client = client(address).map_err(|error| fault(place, &error))?;
    // The limit around it holds for all of it.
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    within(CONNECT_LIMIT, place, connecting).await?.map_err(|error| fault(place, &error))
}

fn client(address: Address) -> RedisResult<Client> {
    // Nothing is left behind at the server, not even this library's name.
    let mut who =
        RedisConnectionInfo::default().set_db(address.database.into()).set_skip_set_lib_name();
    if let Some(user) = address.user {
        who = who.set_username(user);
    }
    if let Some(password) = address.password {
        who = who.set_password(password);
    }
    let server = ConnectionAddr::Tcp(address.host, address.port).into_connection_info()?;
    Client::open(server.set_redis_settings(who))
}

/// None if this user may not ask that, or this server cannot be asked.
async fn ask<T>(
    place: &str,
    answer: impl Future<Output = RedisResult<T>>,
) -> Result<Option<T>, Error> {
    match within(ANSWER_LIMIT, place, answer).await? {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_denial(&error) => {
            tracing::debug!(%error, "Valkey does not tell its settings");
            Ok(None)
        }
        Err(error) => Err(fault(place, &error)),
    }
}

async fn within<T>(
    limit: Duration,
    place: &str,
    answer: impl Future<Output = T>,
) -> Result<T, Error> {
    let late = |_| Error::unreachable(place, format!("nothing came in {limit:?}"));
    tokio::time::timeout(limit, answer).await.map_err(late)
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

fn fault(place: &str, error: &RedisError) -> Error {
    if is_answer(error) || is_stranger(error) {
        Error::refused(place, error, CREDENTIALS)
    } else {
        Error::unreachable(place, error)
    }
}
