//! The answers of a broker, and their time limits.

use std::time::Duration;

use lapin::types::ShortString;
use lapin::{Channel, ErrorKind};
use tokio::time::timeout;

/// How long connecting may take, and an answer to a command of the protocol.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long closing a channel may take.
const CHANNEL_CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// The reply code with which a connection or channel is closed regularly.
pub const REGULAR_CLOSE: u16 = 200;

/// Waits for the broker's answer. Fails with the reason.
pub async fn within<T>(answer: impl Future<Output = lapin::Result<T>>) -> Result<T, String> {
    match timeout(ANSWER_LIMIT, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(unanswered()),
    }
}

pub(crate) fn unanswered() -> String {
    format!("the broker did not answer for {} s", ANSWER_LIMIT.as_secs())
}

/// Closes a channel. lapin closes a channel that is dropped in the background, and fails to close a
/// connection in the meantime.
pub async fn close_channel(channel: &Channel) {
    // If this fails, the connection is lost, which is noticed elsewhere.
    let closed = channel.close(REGULAR_CLOSE, ShortString::default());
    let _ = timeout(CHANNEL_CLOSE_LIMIT, closed).await;
}

/// The reply code with which the broker closed the channel or the connection; `None` if this is
/// another error.
pub fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}
