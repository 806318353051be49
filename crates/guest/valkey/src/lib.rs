//! A Valkey client over WASI sockets: one connection to the primary, which all calls of an instance
//! share. Calls that arrive during a round trip are combined into the next one.
//!
//! The connection is opened on first use, kept for a while, and opened again after a failure or if
//! the server is no longer the primary. There is no background task, so the host can drop an idle
//! instance together with its connection.

mod connection;
mod round_trip;

use std::time::Duration;

use guest_tasks::{now_ms, wake_up, within};
use valkey_codec::{
    COMMANDS_MAX, ClientError, ROUND_LIMIT, Reply, Scalar, Script, ScriptRef, encode,
    is_unknown_script,
};

use round_trip::{Connector, Exchange, Leadership};

/// A client of the server in a Spin variable.
pub struct Client(Connector);

impl Client {
    /// A client of the server whose URL is the value of this variable. It is read when a connection
    /// is opened.
    pub fn new(variable: &'static str) -> Self {
        Self(Connector::new(variable))
    }

    /// A client for the value of this variable, which is the URL of the server; `None` if it is empty.
    /// The error is a message.
    pub fn configured(variable: &'static str, url: &str) -> Result<Option<Self>, String> {
        if url.is_empty() {
            return Ok(None);
        }
        round_trip::servers(url).map_err(|reason| format!("`{variable}`: {reason}"))?;
        Ok(Some(Self::new(variable)))
    }

    /// Sends encoded commands, and returns this number of replies, as `pipeline` of
    /// `doorbuster:valkey/client`.
    pub async fn pipeline(
        &self,
        commands: Vec<u8>,
        replies: u32,
        limit_ms: u32,
    ) -> Result<Vec<Reply>, ClientError> {
        if replies > COMMANDS_MAX {
            return Err(ClientError::too_many_commands(replies));
        }
        let exchange = Exchange { bytes: commands, replies: replies as usize };
        let run_round = async |leadership: &Leadership<'_>| self.0.run_round(leadership).await;
        let limit = Duration::from_millis(limit_ms.into()).min(ROUND_LIMIT);
        let submitted = within(limit, self.0.calls.submit(exchange, wake_up, run_round)).await;
        submitted.flatten().unwrap_or_else(|| {
            Err(ClientError::Interrupted(format!(
                "no reply within {limit:?}, or the leading call of the round trip was cancelled"
            )))
        })
    }

    /// Calls a script with one key. Its source is sent if the server does not have it.
    pub async fn call(
        &self,
        script: &Script,
        key: &[u8],
        arguments: &[&[u8]],
        limit_ms: u32,
    ) -> Result<Reply, ClientError> {
        let start_ms = now_ms();
        let mut unknown = None;
        for by in [ScriptRef::Sha, ScriptRef::Source] {
            let mut words = script.call(by).to_vec();
            words.extend([b"1".to_vec(), key.to_vec()]);
            words.extend(arguments.iter().map(|argument| argument.to_vec()));
            let elapsed_ms = u32::try_from(now_ms().saturating_sub(start_ms)).unwrap_or(u32::MAX);
            let left_ms = limit_ms.saturating_sub(elapsed_ms);
            match self.pipeline(encode(&[words]), 1, left_ms).await?.pop() {
                Some(Reply::One(Scalar::Error(text))) if is_unknown_script(&text) => {
                    unknown = Some(text);
                }
                Some(reply) => return Ok(reply),
                None => return Err(ClientError::Protocol("there is no reply".into())),
            }
        }
        Err(ClientError::Protocol(unknown.unwrap_or_default()))
    }
}
