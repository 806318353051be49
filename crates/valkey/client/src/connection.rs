//! One connection to the primary, on which calls share round trips.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, Value};
use tokio_util::task::AbortOnDropHandle;
use valkey_codec::{
    Address, CONNECT_LIMIT, ClientError, IDLE_MAX, Refusal, Reply, Scalar, hello, hello_resp2,
    is_hello_unsupported, refusal, refusal_resp2,
};

use crate::Tls;
use crate::budget::{Budget, Limited};
use crate::reply::reply;
use crate::transport::{dial, multiplex, without_greeting};

/// An open connection. It is closed when it is dropped.
pub(crate) struct Connection {
    commands: MultiplexedConnection,
    driver: AbortOnDropHandle<()>,
    budget: Arc<Budget>,
    opened: Instant,
    /// The time of the last use, in milliseconds after `opened`.
    used_ms: AtomicU64,
}

impl Connection {
    /// Connects, authenticates, and selects the database. Fails if the server is not the primary.
    pub async fn open(address: &Address, tls: Option<&Tls>) -> Result<Self, ClientError> {
        let opening = async {
            let connection = Self::dial(address, tls).await?;
            match connection.handshake(address).await? {
                None => Ok(connection),
                Some(reason) => Err(ClientError::refused(address, reason)),
            }
        };
        within_connect_limit(address, opening).await
    }

    /// Asks a Sentinel for the address of the primary, which is returned with the user, the
    /// password and the database of `sentinel`. These are not sent to the Sentinel.
    pub async fn ask_sentinel(
        sentinel: &Address,
        service: &str,
        tls: Option<&Tls>,
    ) -> Result<Address, ClientError> {
        let asking = async {
            let mut command = redis::cmd("SENTINEL");
            command.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
            let replies = Self::dial(sentinel, tls).await?.send([command]).await?;
            primary_of(&replies, sentinel).ok_or_else(|| {
                let reason = match replies.as_slice() {
                    [Reply::One(Scalar::Error(text))] => text.as_str(),
                    _ => "it does not monitor this service",
                };
                let text = format!("{sentinel} knows no primary of `{service}`: {reason}");
                ClientError::Connect(text)
            })
        };
        within_connect_limit(sentinel, asking).await
    }

    async fn dial(address: &Address, tls: Option<&Tls>) -> Result<Self, ClientError> {
        let stream = dial(address, tls).await.map_err(interrupted)?;
        let budget = Arc::<Budget>::default();
        let stream = Limited { stream, budget: budget.clone() };
        // The calls have their own limit.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (commands, driver) =
            multiplex(&without_greeting(), stream, config).await.map_err(interrupted)?;
        let (driver, opened) = (AbortOnDropHandle::new(driver), Instant::now());
        Ok(Self { commands, driver, budget, opened, used_ms: AtomicU64::new(0) })
    }

    /// Sends the first commands. Returns why the connection cannot be used; None if it can.
    async fn handshake(&self, address: &Address) -> Result<Option<Refusal>, ClientError> {
        let mut commands = hello(address).into_iter().map(|words| command(&words));
        // Sent alone, because a server may close the connection after its reply.
        let mut replies = self.send(commands.next()).await?;
        if replies.first().is_some_and(|reply| is_hello_unsupported(address, reply)) {
            let commands = hello_resp2(address).into_iter().map(|words| command(&words));
            let replies = self.send(commands).await?;
            return Ok(refusal_resp2(address, &replies));
        }
        if refusal(address, &replies).is_none() {
            replies.extend(self.send(commands).await?);
        }
        Ok(refusal(address, &replies))
    }

    /// Sends commands in one write, and waits for their replies. The caller limits the time.
    async fn send(
        &self,
        commands: impl IntoIterator<Item = Cmd>,
    ) -> Result<Vec<Reply>, ClientError> {
        self.exchange(commands).await?.into_iter().map(reply).collect()
    }

    /// The same, with the replies as the library's values.
    pub async fn exchange(
        &self,
        commands: impl IntoIterator<Item = Cmd>,
    ) -> Result<Vec<Value>, ClientError> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        let call = self.budget.call();
        let mut connection = self.commands.clone();
        let sending = connection.send_packed_commands(&pipeline, 0, pipeline.len());
        let sent = sending.await;
        self.used_ms.store(self.elapsed_ms(), Ordering::Relaxed);
        let values = match sent {
            Ok(values) => values,
            Err(_) if self.budget.is_exceeded() => return Err(ClientError::replies_too_long()),
            Err(error) => return Err(interrupted(error)),
        };
        call.complete();
        Ok(values)
    }

    /// Whether it is open, and was in use recently.
    pub fn is_fresh(&self) -> bool {
        let used = Duration::from_millis(self.used_ms.load(Ordering::Relaxed));
        !self.driver.is_finished() && self.opened.elapsed().saturating_sub(used) < IDLE_MAX
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What `opening` returns; an error if that takes too long.
pub(crate) async fn within_connect_limit<T>(
    address: &Address,
    opening: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(CONNECT_LIMIT, opening).await {
        Ok(result) => result.map_err(|error| error.while_opening(address)),
        Err(_) => Err(ClientError::no_answer(address)),
    }
}

/// The address in the reply of a Sentinel.
fn primary_of(replies: &[Reply], sentinel: &Address) -> Option<Address> {
    let [Reply::Many(parts)] = replies else { return None };
    let [Scalar::Text(host), Scalar::Text(port)] = parts.as_slice() else { return None };
    let host = String::from_utf8(host.clone()).ok()?;
    let port = str::from_utf8(port).ok()?.parse().ok()?;
    Some(Address { host, port, ..sentinel.clone() })
}

/// A command with these words.
pub(crate) fn command(words: &[impl AsRef<[u8]>]) -> Cmd {
    let bytes = words.iter().map(|word| word.as_ref().len()).sum();
    let mut command = Cmd::with_capacity(words.len(), bytes);
    for word in words {
        command.arg(word.as_ref());
    }
    command
}

fn interrupted(error: impl std::fmt::Display) -> ClientError {
    ClientError::Interrupted(error.to_string())
}
