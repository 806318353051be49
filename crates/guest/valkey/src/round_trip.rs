//! One round trip with the commands of all waiting calls.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use coalesce::{Coalescer, Job};
use guest_tasks::{Wake, within};
use valkey_codec::{
    ClientError, IDLE_MAX, ROUND_LIMIT, Reply, Servers, connect_to_primary, shows_no_primary,
};

use crate::connection::Connection;

/// The state that all calls of the instance share.
pub struct Connector {
    /// The variable with the URL of the server.
    variable: &'static str,
    pub calls: Coalescer<Exchange, Replies, Wake>,
    /// The idle connection, and since when it is idle.
    idle: RefCell<Option<(Instant, Connection)>>,
    /// Index of the server that is queried first: the last known primary.
    first: Cell<usize>,
}

/// The part of one call in a round trip.
pub struct Exchange {
    /// The encoded commands of the call.
    pub bytes: Vec<u8>,
    /// The number of replies to them.
    pub replies: usize,
}

/// The result of a call.
pub type Replies = Result<Vec<Reply>, ClientError>;

type Jobs = Vec<Job<Exchange, Replies, Wake>>;

/// The right of a call to execute the next round.
pub type Leadership<'a> = coalesce::Leadership<'a, Exchange, Replies, Wake>;

impl Connector {
    pub fn new(variable: &'static str) -> Self {
        Self {
            variable,
            calls: Coalescer::default(),
            idle: RefCell::default(),
            first: Cell::default(),
        }
    }

    /// Executes one round.
    pub async fn run_round(&self, leadership: &Leadership<'_>) {
        // The connection is removed from the shared state, so that a cancelled round cannot leave
        // one with a partly read reply there.
        let idle = self.idle.take().filter(|(since, _)| since.elapsed() < IDLE_MAX);
        let connection = match idle {
            Some((_, connection)) => Ok(connection),
            None => self.connect().await,
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => return fail(leadership.jobs(), &error),
        };
        let reusable = within(ROUND_LIMIT, exchange(&mut connection, leadership.jobs())).await;
        if reusable == Some(true) && connection.has_no_pending_bytes() {
            self.idle.replace(Some((Instant::now(), connection)));
        }
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let url = spin_sdk::variables::get(self.variable).await.map_err(|e| self.config(e))?;
        let servers = servers(&url).map_err(|e| self.config(e))?;
        let first = self.first.get();
        let connected =
            connect_to_primary(&servers, first, Connection::open, spin_sdk::time::sleep).await;
        let (server, connection) = connected?;
        self.first.set(server);
        Ok(connection)
    }

    fn config(&self, error: impl std::fmt::Display) -> ClientError {
        ClientError::Config(format!("Spin variable `{}`: {error}", self.variable))
    }
}

/// The servers of a URL. The error is a message.
pub fn servers(url: &str) -> Result<Servers, String> {
    let servers = Servers::parse(url).map_err(|error| error.to_string())?;
    if servers.tls() || servers.service().is_some() {
        return Err("this client supports neither TLS nor Sentinel; list the servers with \
                    redis://, or use the client of the host"
            .into());
    }
    Ok(servers)
}

/// Sends all commands in one write, and passes the replies to each call as they arrive. Returns
/// whether the connection can be kept.
async fn exchange(connection: &mut Connection, mut jobs: Jobs) -> bool {
    let bytes: Vec<_> = jobs.iter_mut().map(|job| std::mem::take(&mut job.job.bytes)).collect();
    if let Err(error) = connection.send(bytes.concat()).await {
        fail(jobs, &error);
        return false;
    }
    let mut is_primary = true;
    let mut jobs = jobs.into_iter();
    while let Some(job) = jobs.next() {
        match connection.replies(job.job.replies).await {
            Ok(replies) => {
                // The connection is then closed, so that the next round looks for the primary
                // again.
                is_primary &= !replies.iter().any(shows_no_primary);
                job.complete(Ok(replies));
            }
            Err(error) => {
                fail(jobs, &interrupted(&error));
                job.complete(Err(error));
                return false;
            }
        }
    }
    is_primary
}

fn fail(jobs: impl IntoIterator<Item = Job<Exchange, Replies, Wake>>, error: &ClientError) {
    for job in jobs {
        job.complete(Err(error.clone()));
    }
}

/// The error for the calls whose replies would have followed a failed one.
fn interrupted(error: &ClientError) -> ClientError {
    match error {
        ClientError::Protocol(text) => {
            ClientError::Interrupted(format!("an earlier reply was invalid: {text}"))
        }
        error => error.clone(),
    }
}
