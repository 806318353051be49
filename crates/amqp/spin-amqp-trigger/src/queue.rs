//! The queue, and the number of its messages.

use amqp_client::{ANSWER_LIMIT, close_channel, reply_code, within};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::time::timeout;

/// The reply code of AMQP for something that does not exist.
const NOT_FOUND: u16 = 404;

/// Why a queue cannot be read.
pub(crate) enum Fault {
    /// The broker cannot be reached, or refuses the client.
    Broker(String),
    /// There is no such queue.
    NoQueue(String),
}

/// Fails if the queue does not exist. This is checked on a channel of its own, because the broker
/// closes the channel in that case.
pub(crate) async fn check_queue(connection: &Connection, queue: &str) -> Result<(), Fault> {
    let channel = within(connection.create_channel()).await.map_err(Fault::Broker)?;
    match timeout(ANSWER_LIMIT, waiting(&channel, queue)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) if reply_code(&error) == Some(NOT_FOUND) => {
            return Err(Fault::NoQueue(error.to_string()));
        }
        Ok(Err(error)) => return Err(Fault::Broker(error.to_string())),
        Err(_) => {
            let reason = format!("no answer about the queue for {} s", ANSWER_LIMIT.as_secs());
            return Err(Fault::Broker(reason));
        }
    }
    close_channel(&channel).await;
    Ok(())
}

/// The number of messages in the queue that wait to be delivered.
pub(crate) async fn waiting(channel: &Channel, queue: &str) -> lapin::Result<u32> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok(declared.message_count())
}
