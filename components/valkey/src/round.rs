//! One round trip with the commands of all waiting calls.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use coalesce::{Job, Rounds};
use guest_tasks::{Wake, within};
use valkey_codec::{Reply, Servers, shows_no_primary};

use crate::bindings::exports::doorbuster::valkey::client::ClientError;
use crate::connection::Connection;
use crate::primary;

/// Maximum time of a round trip.
pub const ROUND_LIMIT: Duration = Duration::from_secs(30);

/// A connection that was idle for longer is closed at the next call, because the server or a
/// firewall may have dropped it without notice.
const REST_MAX: Duration = Duration::from_secs(5);

/// The state that all calls of the instance share.
#[derive(Default)]
pub struct Shared {
    pub rounds: Rounds<Exchange, Replies, Wake>,
    /// The idle connection, and since when it is idle.
    resting: RefCell<Option<(Instant, Connection)>>,
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
pub type Turn<'a> = coalesce::Turn<'a, Exchange, Replies, Wake>;

impl Shared {
    /// Executes one round.
    pub async fn lead(&self, turn: &Turn<'_>) {
        // The connection is removed from the shared state, so that a cancelled round cannot leave
        // one with a partly read reply there.
        let rested = self.resting.take().filter(|(since, _)| since.elapsed() < REST_MAX);
        let connection = match rested {
            Some((_, connection)) => Ok(connection),
            None => connect().await,
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => return fail(turn.jobs(), &error),
        };
        let sound = within(ROUND_LIMIT, exchange(&mut connection, turn.jobs())).await;
        if sound == Some(true) && connection.is_at_rest() {
            self.resting.replace(Some((Instant::now(), connection)));
        }
    }
}

/// Sends all commands in one write, and passes the replies to each call as they arrive. Returns
/// whether the connection can be kept.
async fn exchange(connection: &mut Connection, mut jobs: Jobs) -> bool {
    let bytes: Vec<_> = jobs.iter_mut().map(|job| std::mem::take(&mut job.job.bytes)).collect();
    if let Err(error) = connection.send(bytes.concat()).await {
        fail(jobs, &error);
        return false;
    }
    let mut primary = true;
    let mut jobs = jobs.into_iter();
    while let Some(job) = jobs.next() {
        match connection.replies(job.job.replies).await {
            Ok(replies) => {
                // The connection is then closed, so that the next round looks for the primary
                // again.
                primary &= !replies.iter().any(shows_no_primary);
                job.answer(Ok(replies));
            }
            Err(error) => {
                fail(jobs, &interrupted(&error));
                job.answer(Err(error));
                return false;
            }
        }
    }
    primary
}

fn fail(jobs: impl IntoIterator<Item = Job<Exchange, Replies, Wake>>, error: &ClientError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}

/// The error for the calls whose replies would have followed a failed one.
fn interrupted(error: &ClientError) -> ClientError {
    match error {
        ClientError::Protocol(text) => {
            ClientError::Interrupted(format!("the reply before: {text}"))
        }
        error => error.clone(),
    }
}

async fn connect() -> Result<Connection, ClientError> {
    let url = spin_sdk::variables::get("valkey_url")
        .await
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    let servers = Servers::parse(&url)
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    primary::connect(&servers).await
}
