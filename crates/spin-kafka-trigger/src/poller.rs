//! The thread that keeps the membership alive.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::group::Consumer;

/// How soon the thread notices that it is to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a question to the cluster that is under way may keep the client open.
const RELEASE_DEADLINE: Duration = Duration::from_secs(6);

/// Polls librdkafka's main queue, and nothing else: rebalances and errors are served however
/// long a handler takes. Once the engine is told to stop it drains and leaves the group; the
/// receiver tells when that is done.
pub(crate) fn start(
    engine: Arc<Engine>,
    consumer: Arc<Consumer>,
) -> io::Result<oneshot::Receiver<()>> {
    let (done, left) = oneshot::channel();
    thread::Builder::new().name("kafka-group".into()).spawn(move || {
        poll(&engine, &consumer);
        consumer.context().drain(&consumer);
        close(consumer);
        // The engine may have stopped waiting.
        let _ = done.send(());
    })?;
    Ok(left)
}

fn poll(engine: &Engine, consumer: &Consumer) {
    while !engine.stop.is_cancelled() {
        match consumer.poll(POLL_INTERVAL) {
            // Errors that pass were logged by the client's context.
            None | Some(Err(KafkaError::MessageConsumption(_) | KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => engine.fail_client(error),
            // Every partition has a queue of its own before it is fetched.
            Some(Ok(record)) => engine.fail_group(format!(
                "{}/{}: offset {} came outside the partition's queue",
                record.topic(),
                record.partition(),
                record.offset()
            )),
        }
    }
}

/// Leaves the group: dropping the last reference to the client does that, and it must happen
/// here rather than in some task.
fn close(consumer: Arc<Consumer>) {
    let deadline = Instant::now() + RELEASE_DEADLINE;
    while Arc::strong_count(&consumer) > 1 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    drop(consumer);
}
