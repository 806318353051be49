//! A client that all calls of a component share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, Shared};
use redis::{Cmd, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use valkey_codec::{
    Address, COMMANDS_MAX, ClientError, ROUND_LIMIT, Reply, Servers, connect_to_primary,
    shows_no_primary, split,
};

use crate::Tls;
use crate::connection::{Connection, command};
use crate::reply::reply;

/// Maximum size of the commands that wait for their replies. Further calls wait. A call with more is
/// refused.
const PENDING_BYTES_MAX: usize = 64 << 20;

/// An attempt to connect, which all calls that need the connection share.
type Attempt = Shared<BoxFuture<'static, Result<Arc<Connection>, ClientError>>>;

/// Whether a connection to this host and port is allowed.
type Permission = Box<dyn Fn(&str, u16) -> bool + Send + Sync>;

/// A client with one connection to the primary. The connection is opened on first use, kept while
/// it is used, and opened again after a failure or if the server is no longer the primary. No
/// command is sent twice.
pub struct Client {
    target: Arc<Target>,
    attempt: Mutex<Option<Attempt>>,
    pending: Semaphore,
}

/// What a client connects to.
struct Target {
    servers: Servers,
    tls: Option<Tls>,
    is_allowed: Permission,
    /// Index of the server that is queried first: the last known primary.
    first: AtomicUsize,
}

impl Client {
    /// A client for these servers. It does not connect yet. `authorities` are the certificates for
    /// TLS, as for [`Tls::new`]. `is_allowed` decides for each host and port whether the client may
    /// connect to it.
    pub fn new(
        servers: Servers,
        authorities: &str,
        is_allowed: impl Fn(&str, u16) -> bool + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let tls = servers.tls().then(|| Tls::new(authorities)).transpose()?;
        let is_allowed = Box::new(is_allowed);
        let target = Target { servers, tls, is_allowed, first: AtomicUsize::new(0) };
        let pending = Semaphore::new(PENDING_BYTES_MAX);
        Ok(Self { target: Arc::new(target), attempt: Mutex::default(), pending })
    }

    /// Sends encoded commands, and returns the replies to them. `replies` must be the number of
    /// the commands. Fails after `limit`, or after [`ROUND_LIMIT`] if that is shorter.
    pub async fn pipeline(
        &self,
        commands: &[u8],
        replies: u32,
        limit: Duration,
    ) -> Result<Vec<Reply>, ClientError> {
        if replies > COMMANDS_MAX {
            return Err(ClientError::too_many_commands(replies));
        }
        let values = self.exchange(commands.len(), || parse(commands, replies), limit).await?;
        values.into_iter().map(reply).collect()
    }

    /// Sends a command, and returns its reply as the library's value.
    pub async fn call(&self, words: &[&[u8]], limit: Duration) -> Result<Value, ClientError> {
        let bytes = words.iter().map(|word| word.len()).sum();
        let values = self.exchange(bytes, || Ok(vec![command(words)]), limit).await?;
        values.into_iter().next().ok_or_else(|| ClientError::Protocol("there is no reply".into()))
    }

    /// Sends commands with a size of `bytes`, and returns their replies.
    async fn exchange(
        &self,
        bytes: usize,
        parse: impl FnOnce() -> Result<Vec<Cmd>, ClientError>,
        limit: Duration,
    ) -> Result<Vec<Value>, ClientError> {
        let limit = limit.min(ROUND_LIMIT);
        let deadline = Instant::now() + limit;
        // Reserved before the commands are parsed, because parsing copies them.
        let _permit = self.reserve(bytes, deadline).await?;
        let pipeline = parse()?;
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let attempt = self.attempt();
        // The attempt continues, also if this call ends before it: otherwise, no call would ever
        // get a connection that takes longer than the calls' limits. A failed one is replaced.
        let connection = timeout_at(deadline, attempt.clone()).await.unwrap_or_else(|_| {
            Err(ClientError::Connect(format!("not connected within {limit:?}")))
        })?;
        let sending = timeout_at(deadline, connection.exchange(pipeline));
        let result = sending.await.unwrap_or_else(|_| {
            Err(ClientError::Interrupted(format!("no reply within {limit:?}")))
        });
        // After any error, the connection may be broken.
        let is_usable = result.as_ref().is_ok_and(|values| !values.iter().any(is_refused));
        if !is_usable {
            self.forget(&attempt);
        }
        result
    }

    /// Waits until the size of the commands in progress allows further ones.
    async fn reserve(
        &self,
        bytes: usize,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, ClientError> {
        let bytes = u32::try_from(bytes).ok().filter(|bytes| *bytes as usize <= PENDING_BYTES_MAX);
        let bytes = bytes.ok_or_else(|| {
            ClientError::Protocol(format!("the commands are longer than {PENDING_BYTES_MAX} bytes"))
        })?;
        let permit = timeout_at(deadline, self.pending.acquire_many(bytes)).await;
        // The semaphore is never closed.
        permit.ok().and_then(Result::ok).ok_or_else(|| {
            let text = format!("more than {PENDING_BYTES_MAX} bytes of commands have no reply yet");
            ClientError::Connect(text)
        })
    }

    /// The attempt that opened the connection, or a new one.
    fn attempt(&self) -> Attempt {
        let mut current = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = current.as_ref().filter(|attempt| is_current(attempt)) {
            return attempt.clone();
        }
        let target = self.target.clone();
        let opening = tokio::spawn(async move { target.connect().await.map(Arc::new) });
        let attempt = opening
            .map(|joined| {
                joined.unwrap_or_else(|error| Err(ClientError::Connect(error.to_string())))
            })
            .boxed()
            .shared();
        // The calls that wait for it may be cancelled, and it is complete only after it was polled.
        tokio::spawn(attempt.clone());
        *current = Some(attempt.clone());
        attempt
    }

    /// Makes later calls connect again, unless another call has already caused that.
    fn forget(&self, attempt: &Attempt) {
        let mut current = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.ptr_eq(attempt)) {
            *current = None;
        }
    }
}

/// Whether an attempt is in progress, or its connection can be used.
fn is_current(attempt: &Attempt) -> bool {
    match attempt.peek() {
        Some(Ok(connection)) => connection.is_fresh(),
        Some(Err(_)) => false,
        None => true,
    }
}

impl Target {
    /// Connects to the first server that reports to be the primary and accepts writes.
    async fn connect(&self) -> Result<Connection, ClientError> {
        let first = self.first.load(Ordering::Relaxed);
        let open = |address| self.open(address);
        let sleep = |time: Duration| tokio::time::sleep(time);
        let (server, connection) = connect_to_primary(&self.servers, first, open, sleep).await?;
        self.first.store(server, Ordering::Relaxed);
        Ok(connection)
    }

    async fn open(&self, address: &Address) -> Result<Connection, ClientError> {
        let tls = self.tls.as_ref();
        self.check(address)?;
        let Some(service) = self.servers.service() else {
            return Connection::open(address, tls).await;
        };
        let primary = Connection::ask_sentinel(address, service, tls).await?;
        self.check(&primary)?;
        Connection::open(&primary, tls).await
    }

    fn check(&self, address: &Address) -> Result<(), ClientError> {
        if (self.is_allowed)(&address.host, address.port) {
            return Ok(());
        }
        Err(ClientError::Connect(format!(
            "{address} is not allowed; add \"tcp://{address}\" to the component's \
             allowed_outbound_hosts"
        )))
    }
}

/// Whether the reply is an error which shows that the server is not the primary.
fn is_refused(value: &Value) -> bool {
    matches!(value, Value::ServerError(_))
        && reply(value.clone()).is_ok_and(|reply| shows_no_primary(&reply))
}

/// The commands of a call.
fn parse(commands: &[u8], replies: u32) -> Result<Vec<Cmd>, ClientError> {
    let protocol = |text: String| ClientError::Protocol(format!("`replies` is {replies}: {text}"));
    let commands =
        split(commands, replies as usize).map_err(|error| protocol(error.to_string()))?;
    if commands.len() != replies as usize {
        return Err(protocol(format!("there are {} commands", commands.len())));
    }
    Ok(commands.iter().map(|arguments| command(arguments)).collect())
}

#[cfg(test)]
mod tests {
    use valkey_codec::encode;

    use super::*;

    fn client() -> Client {
        let servers = Servers::parse("redis://127.0.0.1:1").unwrap();
        Client::new(servers, "", |_, _| false).unwrap()
    }

    #[tokio::test]
    async fn an_attempt_ends_although_no_call_waits_for_it() {
        let attempt = client().attempt();
        let ended = async {
            while attempt.peek().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
        assert!(!is_current(&attempt), "it failed, so the next call starts another one");
    }

    #[tokio::test]
    async fn commands_beyond_the_limits_are_refused() {
        let ping = encode(&[vec![b"PING".to_vec()]]);
        let many = ping.repeat(COMMANDS_MAX as usize + 1);
        let long = vec![0; PENDING_BYTES_MAX + 1];
        for (commands, replies) in [(&many, COMMANDS_MAX + 1), (&many, COMMANDS_MAX), (&long, 1)] {
            let result = client().pipeline(commands, replies, ROUND_LIMIT).await;
            assert!(matches!(result, Err(ClientError::Protocol(_))), "{result:?}");
        }
    }

    #[tokio::test]
    async fn a_call_waits_until_others_have_their_replies() {
        let client = client();
        let others = client.reserve(PENDING_BYTES_MAX, Instant::now()).await.unwrap();
        let ping = encode(&[vec![b"PING".to_vec()]]);
        let call = async || client.pipeline(&ping, 1, Duration::from_millis(1)).await.unwrap_err();
        let text = call().await.to_string();
        assert!(text.contains("have no reply yet"), "{text}");
        drop(others);
        let text = call().await.to_string();
        assert!(!text.contains("have no reply yet"), "{text}");
    }
}
