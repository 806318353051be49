//! The Valkey outbound connector: a connection to the primary is opened on first use, kept between
//! calls for a while and opened anew after a fault, or when the server is the primary no more.
//! Nothing runs at rest, so that the host can drop an instance that is idle, and its connections
//! with it.

mod connection;
mod convert;
mod limit;
mod primary;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bindings::exports::doorbuster::valkey::client::{ClientError, Command, Guest, Reply};
use valkey_codec::{Servers, shows_no_primary};

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
        let replies = connection.exchange(&commands).await;
        let replies = replies.inspect_err(|_| close_rested(connection.server()))?;
        if replies.iter().any(shows_no_primary) {
            close_rested(connection.server());
        } else if connection.is_at_rest() {
            rest(connection);
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

/// Keeps the connection for a later call.
fn rest(connection: Connection) {
    let mut idle = idle();
    if idle.len() < IDLE_MAX {
        idle.push((Instant::now(), connection));
    }
}

/// What befell one connection befalls all to its server.
fn close_rested(server: usize) {
    idle().retain(|(_, connection)| connection.server() != server);
}

fn idle() -> MutexGuard<'static, Vec<(Instant, Connection)>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connect() -> Result<Connection, ClientError> {
    let url = spin_sdk::variables::get("valkey_url")
        .await
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    let servers = Servers::parse(&url)
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    primary::connect(&servers).await
}
