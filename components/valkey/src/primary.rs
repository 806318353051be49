//! Finds the primary among the servers. Sentinel or an operator performs a failover. Afterwards the
//! new primary reports its role, so it is sufficient to query each server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, FuturesUnordered, StreamExt as _};
use guest_tasks::within;
use valkey_codec::Servers;

use crate::bindings::exports::doorbuster::valkey::client::ClientError;
use crate::connection::Connection;

/// Time for which only one server is queried, before all others are queried, too. It is sufficient
/// for a server that works, and short enough for a caller with a limit like the writer's (250 ms)
/// to get an answer although the first server does not answer.
const HEAD_START: Duration = Duration::from_millis(50);

/// Index of the server that is queried first: the last known primary.
static FIRST: AtomicUsize = AtomicUsize::new(0);

/// Connects to the first server that reports to be the primary and accepts writes.
pub async fn connect(servers: &Servers) -> Result<Connection, ClientError> {
    let mut order = servers
        .starting_at(FIRST.load(Ordering::Relaxed))
        .map(|(index, address)| Connection::open(index, address));
    let mut attempts: FuturesUnordered<_> = order.by_ref().take(1).collect();
    let first = within(HEAD_START, attempts.next()).await.flatten();
    // The futures are lazy: none of these is started before it is polled.
    attempts.extend(order);
    let mut results = stream::iter(first).chain(attempts);
    let mut errors = Vec::new();
    while let Some(result) = results.next().await {
        match result {
            Ok(connection) => {
                FIRST.store(connection.server(), Ordering::Relaxed);
                return Ok(connection);
            }
            Err(error) => errors.push(error),
        }
    }
    Err(combined(errors))
}

/// Combines the errors of all servers into one.
fn combined(mut errors: Vec<ClientError>) -> ClientError {
    if errors.len() > 1 {
        let texts: Vec<&str> = errors.iter().map(text).collect();
        let text = format!("no primary found: {}", texts.join("; "));
        let refused = errors.iter().any(|error| matches!(error, ClientError::Auth(_)));
        return if refused { ClientError::Auth(text) } else { ClientError::Connect(text) };
    }
    errors.pop().unwrap_or_else(|| ClientError::Connect("the list of servers is empty".into()))
}

fn text(error: &ClientError) -> &str {
    match error {
        ClientError::Config(text)
        | ClientError::Connect(text)
        | ClientError::Auth(text)
        | ClientError::Interrupted(text)
        | ClientError::Protocol(text) => text,
    }
}
