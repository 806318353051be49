//! Connects to the first server that is the primary.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisResult, Value};
use valkey_codec::{Address, CONNECT_LIMIT, PRIMARY, ROLE, Servers, UNKNOWN_ROLE};

use crate::connection::Connection;
use crate::transport::{dial, multiplex};
use crate::{Error, Fault, Tls};

/// Maximum time for each later reply. A server does not reply to other clients while it runs a
/// script.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Connects to the server whose role is primary. Returns its address and the connection. The role
/// of a single server is not checked. `authorities` are the certificates for TLS, as for
/// [`Tls::new`].
pub async fn connect(
    servers: &Servers,
    authorities: &str,
) -> Result<(Address, MultiplexedConnection), Error> {
    let is_single = servers.iter().len() == 1 && servers.service().is_none();
    let tls = servers.tls().then(|| Tls::new(authorities)).transpose().map_err(|text| Error {
        faults: servers.iter().take(1).map(|a| (a.clone(), Fault::Tls(text.clone()))).collect(),
    })?;
    let mut faults = Vec::new();
    for address in servers.iter() {
        let connecting = connect_to(servers, address, tls.as_ref(), !is_single);
        match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(fault)) => faults.push((address.clone(), fault)),
            Err(_) => faults.push((address.clone(), Fault::Silent(CONNECT_LIMIT))),
        }
    }
    Err(Error { faults })
}

async fn connect_to(
    servers: &Servers,
    address: &Address,
    tls: Option<&Tls>,
    check_role: bool,
) -> Result<(Address, MultiplexedConnection), Fault> {
    let address = match servers.service() {
        Some(service) => Connection::ask_sentinel(address, service, tls)
            .await
            .map_err(|error| Fault::Sentinel(error.to_string()))?,
        None => address.clone(),
    };
    let fault = |error| Fault::new(&address, error);
    let stream = dial(&address, tls).await.map_err(|error| fault(error.into()))?;
    // Connecting is limited by the caller.
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_LIMIT));
    // The task ends when the connection is dropped.
    let (mut connection, _) =
        multiplex(&settings(&address), stream, config).await.map_err(fault)?;
    if check_role {
        let role = role(&mut connection).await.map_err(fault)?;
        if role != PRIMARY {
            return Err(Fault::Role(role));
        }
    }
    Ok((address, connection))
}

fn settings(address: &Address) -> RedisConnectionInfo {
    // The library would otherwise send its name to the server.
    let mut settings =
        RedisConnectionInfo::default().set_db(address.database.into()).set_skip_set_lib_name();
    if let Some(user) = &address.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &address.password {
        settings = settings.set_password(password);
    }
    settings
}

/// The server's role. HELLO without a version changes nothing, and every user may call it. Old
/// servers and some proxies do not support it; for them ROLE is used.
async fn role(connection: &mut MultiplexedConnection) -> RedisResult<String> {
    let reply = redis::cmd("HELLO").query_async(connection).await;
    let reply: BTreeMap<String, Value> = match reply {
        Err(error) if error.code() == Some("ERR") => {
            let reply: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
            let role = reply.first().map(redis::from_redis_value_ref);
            return role.map_or(Ok(UNKNOWN_ROLE.into()), |role| role.map_err(Into::into));
        }
        reply => reply?,
    };
    let role = reply.get(ROLE).map(redis::from_redis_value_ref);
    role.map_or(Ok(UNKNOWN_ROLE.into()), |role| role.map_err(Into::into))
}
