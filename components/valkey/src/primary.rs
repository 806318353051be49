//! Finds the primary among the servers. A failover is made by Sentinel or by an operator.
//! Afterwards the new primary reports its role, so it is sufficient to ask each server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, FuturesUnordered, StreamExt as _};
use guest_tasks::within;
use valkey_codec::Servers;

use crate::bindings::exports::doorbuster::valkey::client::ClientError;
use crate::connection::Connection;

/// Time for which one server is asked alone before all others are asked, too. It is sufficient for
/// a server that works, and short enough for a caller with a limit like the writer's (250 ms) to
/// get an answer although the first server does not answer.
const HEAD_START: Duration = Duration::from_millis(50);

/// Index of the server that is asked first: the last known primary.
static FIRST: AtomicUsize = AtomicUsize::new(0);

/// Connects to the first server that reports to be the primary and accepts writes.
pub async fn connect(servers: &Servers) -> Result<Connection, ClientError> {
    let mut order = servers
        .beginning_with(FIRST.load(Ordering::Relaxed))
        .map(|(place, address)| Connection::open(place, address));
    let mut asked: FuturesUnordered<_> = order.by_ref().take(1).collect();
    let early = within(HEAD_START, asked.next()).await.flatten();
    // The futures are lazy: none of these is started before it is polled.
    asked.extend(order);
    let mut answers = stream::iter(early).chain(asked);
    let mut faults = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(connection) => {
                FIRST.store(connection.server(), Ordering::Relaxed);
                return Ok(connection);
            }
            Err(fault) => faults.push(fault),
        }
    }
    Err(in_one(faults))
}

/// Combines the errors of all servers into one.
fn in_one(mut faults: Vec<ClientError>) -> ClientError {
    if faults.len() > 1 {
        let texts: Vec<&str> = faults.iter().map(text).collect();
        let text = format!("no primary found: {}", texts.join("; "));
        let refused = faults.iter().any(|fault| matches!(fault, ClientError::Auth(_)));
        return if refused { ClientError::Auth(text) } else { ClientError::Connect(text) };
    }
    faults.pop().unwrap_or_else(|| ClientError::Connect("there is no server".into()))
}

fn text(fault: &ClientError) -> &str {
    match fault {
        ClientError::Config(text)
        | ClientError::Connect(text)
        | ClientError::Auth(text)
        | ClientError::Interrupted(text)
        | ClientError::Protocol(text) => text,
    }
}
