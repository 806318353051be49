//! Connects to the first server that is the primary.

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

/// Maximum time for each later reply. A server does not reply to other clients while it runs a
/// script.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The role of a server that does not report one.
const NOT_REPORTED: &str = "not reported";

/// Connects to the server whose role is primary. Returns its address and the connection. The role
/// of a single server is not checked.
pub async fn connect(servers: &Servers) -> Result<(Address, MultiplexedConnection), Error> {
    let is_single = servers.iter().len() == 1;
    let mut faults = Vec::new();
    for address in servers.iter() {
        let connecting = tokio::time::timeout(CONNECT_LIMIT, connect_to(address, !is_single)).await;
        match connecting.unwrap_or(Err(Fault::Silent(CONNECT_LIMIT))) {
            Ok(connection) => return Ok((address.clone(), connection)),
            Err(fault) => faults.push((address.clone(), fault)),
        }
    }
    Err(Error { faults })
}

async fn connect_to(address: &Address, check_role: bool) -> Result<MultiplexedConnection, Fault> {
    // Connecting is limited by the caller.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(Some(ANSWER_LIMIT));
    let fault = |error| Fault::new(address, error);
    let client = client(address).map_err(fault)?;
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connecting.await.map_err(fault)?;
    if check_role {
        let role = role(&mut connection).await.map_err(fault)?;
        if role != PRIMARY {
            return Err(Fault::Role(role));
        }
    }
    Ok(connection)
}

fn client(address: &Address) -> RedisResult<Client> {
    // The library would otherwise send its name to the server.
    let mut settings =
        RedisConnectionInfo::default().set_db(address.database.into()).set_skip_set_lib_name();
    if let Some(user) = &address.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &address.password {
        settings = settings.set_password(password);
    }
    let server = ConnectionAddr::Tcp(address.host.clone(), address.port).into_connection_info()?;
    Client::open(server.set_redis_settings(settings))
}

/// The server's role. HELLO without a version changes nothing, and every user may call it. Old
/// servers and some proxies do not support it; for them ROLE is used.
async fn role(connection: &mut MultiplexedConnection) -> RedisResult<String> {
    let reply = redis::cmd("HELLO").query_async(connection).await;
    let reply: BTreeMap<String, Value> = match reply {
        Err(error) if error.code() == Some("ERR") => {
            let reply: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
            let role = reply.first().map(redis::from_redis_value_ref);
            return role.map_or(Ok(NOT_REPORTED.into()), |role| role.map_err(Into::into));
        }
        reply => reply?,
    };
    let role = reply.get(ROLE).map(redis::from_redis_value_ref);
    role.map_or(Ok(NOT_REPORTED.into()), |role| role.map_err(Into::into))
}
