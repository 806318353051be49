//! A broker that the tests of one process share, because a JVM takes seconds to start.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::runtime::Runtime;

use crate::{Kafka, KafkaConfig};

/// The broker, with a runtime that waits for it. The runtimes of the tests end before the broker
/// does.
static SHARED: OnceLock<Result<(Runtime, Kafka)>> = OnceLock::new();

fn start() -> Result<(Runtime, Kafka)> {
    let start = || {
        let runtime = Runtime::new()?;
        let kafka = runtime.block_on(Kafka::start(KafkaConfig::default()))?;
        Ok((runtime, kafka))
    };
    // The caller may be inside a runtime, in which blocking on another runtime is not allowed.
    let started = thread::spawn(start).join();
    started.unwrap_or_else(|_| Err(anyhow!("the thread that started Kafka panicked")))
}

/// The broker that all callers in this process share. The first call starts it, and it ends with
/// the process. It is for tests that use their own topics and groups and do not change the broker.
///
/// # Panics
/// If the broker does not start, or has ended.
#[expect(clippy::panic, reason = "a test cannot continue without its broker")]
pub fn shared_kafka() -> &'static Kafka {
    let shared = SHARED.get_or_init(start);
    if let Err(error) = shared_kafka_runs() {
        panic!("{error:#}");
    }
    match shared {
        Ok((_, kafka)) => kafka,
        Err(error) => panic!("{error:#}"),
    }
}

/// Fails if the shared broker was started and has ended, with the end of its log, so that tests do
/// not wait for it.
pub fn shared_kafka_runs() -> Result<()> {
    match SHARED.get() {
        Some(Ok((_, kafka))) => kafka.require_running(),
        _ => Ok(()),
    }
}

/// Waits until [`shared_kafka_runs`] fails.
pub async fn shared_kafka_ended() -> anyhow::Error {
    loop {
        if let Err(fault) = shared_kafka_runs() {
            return fault;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
