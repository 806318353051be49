//! The thread that polls the client, so that the member stays in the group.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use crate::consumer::Consumer;
use crate::engine::Engine;

/// The longest time until the thread notices that it has to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a query in progress may keep the client open.
const RELEASE_DEADLINE: Duration = Duration::from_secs(6);

/// Polls the main queue of librdkafka and does nothing else, so that rebalances and errors are
/// handled however long a handler takes. When the engine stops, the thread drains and leaves the
/// group; then the receiver resolves.
pub(crate) fn start(
    engine: Arc<Engine>,
    consumer: Arc<Consumer>,
) -> io::Result<oneshot::Receiver<()>> {
    let (done, left) = oneshot::channel();
    thread::Builder::new().name("kafka-group".into()).spawn(move || {
        poll(&engine, &consumer);
        consumer.context().drain(&consumer);
        close(consumer);
        // The engine may no longer wait for this.
        let _ = done.send(());
    })?;
    Ok(left)
}

fn poll(engine: &Engine, consumer: &Consumer) {
    while !engine.stop.is_cancelled() {
        match consumer.poll(POLL_INTERVAL) {
            // The context of the client has logged transient errors.
            None | Some(Err(KafkaError::MessageConsumption(_) | KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => engine.fail_client(error),
            // Every partition's queue is split before it is fetched, so a record in the main queue
            // is a bug.
            Some(Ok(record)) => engine.fail_group(format!(
                "{}/{}: offset {} came outside the partition's queue",
                record.topic(),
                record.partition(),
                record.offset()
            )),
        }
    }
}

/// Leaves the group by dropping the last reference to the client. This has to happen on this
/// thread, not in a task.
fn close(consumer: Arc<Consumer>) {
    let deadline = Instant::now() + RELEASE_DEADLINE;
    while Arc::strong_count(&consumer) > 1 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    drop(consumer);
}
