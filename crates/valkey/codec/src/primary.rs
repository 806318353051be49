//! Finds the primary among the servers. Sentinel or an operator performs a failover. Afterwards the
//! new primary reports its role, so it is sufficient to query each server.

use std::time::Duration;

use futures::stream::{self, FuturesUnordered, StreamExt as _};

use crate::{Address, ClientError, Servers};

/// Time for which only one server is queried, before all others are queried, too. It is sufficient
/// for a server that works, and short enough for a caller with a limit like the writer's (250 ms)
/// to get an answer although the first server does not answer.
const HEAD_START: Duration = Duration::from_millis(50);

/// Returns the first connection that `open` can open, with the index of its server. The server with
/// the index `first` has a head start; `sleep` waits for a time.
pub async fn connect_to_primary<'a, C, O, S>(
    servers: &'a Servers,
    first: usize,
    open: impl Fn(&'a Address) -> O,
    sleep: impl FnOnce(Duration) -> S,
) -> Result<(usize, C), ClientError>
where
    O: Future<Output = Result<C, ClientError>>,
    S: Future<Output = ()>,
{
    let mut order = servers.starting_at(first).map(|(index, address)| {
        let opening = open(address);
        async move { opening.await.map(|connection| (index, connection)) }
    });
    let mut attempts: FuturesUnordered<_> = order.by_ref().take(1).collect();
    let first = {
        let (attempt, sleep) = (std::pin::pin!(attempts.next()), std::pin::pin!(sleep(HEAD_START)));
        match futures::future::select(attempt, sleep).await {
            futures::future::Either::Left((result, _)) => result,
            futures::future::Either::Right(_) => None,
        }
    };
    // The futures are lazy: none of these is started before it is polled.
    attempts.extend(order);
    let mut results = stream::iter(first).chain(attempts);
    let mut errors = Vec::new();
    while let Some(result) = results.next().await {
        match result {
            Ok(connected) => return Ok(connected),
            Err(error) => errors.push(error),
        }
    }
    Err(ClientError::combined(errors))
}
