//! The Valkey outbound connector: a connection is opened on first use, kept between calls for a
//! while and opened anew after a fault. Nothing runs at rest, so that the host can drop an instance
//! that is idle, and its connections with it.

mod connection;
mod convert;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bindings::exports::doorbuster::valkey::client::{ClientError, Command, Guest, Reply};
use valkey_codec::Address;

use connection::Connection;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:valkey-connector/component",
        path: ["../../wit/doorbuster-valkey", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Valkey;
    export!(Valkey);
}

/// Most commands in one pipeline.
const COMMANDS_MAX: usize = 10_000;

/// Most connections kept at rest: as many as calls that a host makes at once in an instance.
const IDLE_MAX: usize = 64;

/// A connection that rested longer is closed at the next call: the server, or something between,
/// may have dropped it without a word.
const REST_MAX: Duration = Duration::from_secs(5);

/// Connections at rest, and since when. A call has one for itself: replies are never mixed, and no
/// call waits for another.
static IDLE: Mutex<Vec<(Instant, Connection)>> = Mutex::new(Vec::new());

struct Valkey;

impl Guest for Valkey {
    async fn pipeline(commands: Vec<Command>) -> Result<Vec<Reply>, ClientError> {
        if commands.len() > COMMANDS_MAX {
            let text = format!("{} commands; at most {COMMANDS_MAX} go at once", commands.len());
            return Err(ClientError::Protocol(text));
        }
        // Taken out: whatever ends this call early leaves no connection with half a reply.
        let rested = rested();
        let mut connection = match rested {
            Some(connection) => connection,
            None => connect().await?,
        };
        let replies = connection.exchange(&commands).await?;
        let mut idle = self::idle();
        if idle.len() < IDLE_MAX && connection.is_at_rest() {
            idle.push((Instant::now(), connection));
        }
        Ok(replies.into_iter().map(convert::reply).collect())
    }
}

/// The connection that rested least; those that rested too long are closed.
fn rested() -> Option<Connection> {
    let mut idle = idle();
    idle.retain(|(since, _)| since.elapsed() < REST_MAX);
    idle.pop().map(|(_, connection)| connection)
}

fn idle() -> MutexGuard<'static, Vec<(Instant, Connection)>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connect() -> Result<Connection, ClientError> {
    let url = spin_sdk::variables::get("valkey_url")
        .await
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    let address = Address::parse(&url)
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    Connection::open(&address).await
}
