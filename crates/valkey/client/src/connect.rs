//! Tries one server after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisResult, Value,
};
use valkey_codec::{Address, PRIMARY, ROLE, Servers};

use crate::{Error, Fault};

/// Maximum time for connecting to one server, including the request of its role.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Maximum time for each later reply. A server answers no other client while it runs a script.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Connects to the server that reports to be the primary, and returns its address, too. A single
/// server is not asked for its role.
pub async fn connect(servers: &Servers) -> Result<(Address, MultiplexedConnection), Error> {
    let alone = servers.iter().len() == 1;
    let mut faults = Vec::new();
    for address in servers.iter() {
        let connecting = tokio::time::timeout(CONNECT_LIMIT, one(address, alone)).await;
        match connecting.unwrap_or(Err(Fault::Silent(CONNECT_LIMIT))) {
            Ok(connection) => return Ok((address.clone(), connection)),
            Err(fault) => faults.push((address.clone(), fault)),
        }
    }
    Err(Error { faults })
}

async fn one(address: &Address, alone: bool) -> Result<MultiplexedConnection, Fault> {
    // Connecting is limited by the caller.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(Some(ANSWER_LIMIT));
    let fault = |error| Fault::of(address, error);
    let client = client(address).map_err(fault)?;
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connecting.await.map_err(fault)?;
    if !alone {
        let role = role(&mut connection).await.map_err(fault)?;
        if role != PRIMARY {
            return Err(Fault::Role(role));
        }
    }
    Ok(connection)
}

fn client(address: &Address) -> RedisResult<Client> {
    // The library would otherwise send its name to the server.
    let mut who =
        RedisConnectionInfo::default().set_db(address.database.into()).set_skip_set_lib_name();
    if let Some(user) = &address.user {
        who = who.set_username(user);
    }
    if let Some(password) = &address.password {
        who = who.set_password(password);
    }
    let server = ConnectionAddr::Tcp(address.host.clone(), address.port).into_connection_info()?;
    Client::open(server.set_redis_settings(who))
}

/// The server's role. HELLO without a version changes nothing, and every user may call it. Old
/// servers and some proxies do not support it; they are asked with ROLE.
async fn role(connection: &mut MultiplexedConnection) -> RedisResult<String> {
    let told = redis::cmd("HELLO").query_async(connection).await;
    let told: BTreeMap<String, Value> = match told {
        Err(error) if error.code() == Some("ERR") => {
            let told: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
            let role = told.first().map(redis::from_redis_value_ref);
            return role.map_or(Ok("not told".into()), |role| role.map_err(Into::into));
        }
        told => told?,
    };
    told.get(ROLE)
        .map_or(Ok("not told".into()), |role| redis::from_redis_value_ref(role).map_err(Into::into))
}
