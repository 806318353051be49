//! Which of the servers is the primary. A failover is the work of Sentinel, or of an operator:
//! whoever is the primary says so, so that it is enough to ask.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, FuturesUnordered, StreamExt as _};
use guest_tasks::within;
use valkey_codec::Servers;

use crate::bindings::exports::doorbuster::valkey::client::ClientError;
use crate::connection::Connection;

/// How long one server is asked alone before all others are asked, too. Enough for a sound one,
/// and so short that a caller who waits no longer than the writer does (250 ms) still gets an
/// answer while the server that comes first is silent.
const HEAD_START: Duration = Duration::from_millis(50);

/// Place of the server that is asked first: it was the primary last.
static FIRST: AtomicUsize = AtomicUsize::new(0);

/// Connects to the first server that says that it is the primary and takes writes.
pub async fn connect(servers: &Servers) -> Result<Connection, ClientError> {
    let mut order = servers
        .beginning_with(FIRST.load(Ordering::Relaxed))
        .map(|(place, address)| Connection::open(place, address));
    let mut asked: FuturesUnordered<_> = order.by_ref().take(1).collect();
    let early = within(HEAD_START, asked.next()).await.flatten();
    // None of these begins before its answer is waited for.
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

/// What each of the servers answered.
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
