//! A broker that the tests of one process share, because a JVM takes seconds to start.

use std::sync::LazyLock;
use std::thread;

use anyhow::{Result, anyhow};
use tokio::runtime::Runtime;

use crate::{Kafka, KafkaConfig};

/// The broker, with a runtime that waits for it. The runtimes of the tests end before the broker
/// does.
static SHARED: LazyLock<Result<(Runtime, Kafka)>> = LazyLock::new(|| {
    let start = || {
        let runtime = Runtime::new()?;
        let kafka = runtime.block_on(Kafka::start(KafkaConfig::default()))?;
        Ok((runtime, kafka))
    };
    // The caller may be inside a runtime, in which blocking on another runtime is not allowed.
    let started = thread::spawn(start).join();
    started.unwrap_or_else(|_| Err(anyhow!("the thread that started Kafka panicked")))
});

/// The broker that all callers in this process share. The first call starts it, and it ends with
/// the process. It is for tests that use their own topics and groups and do not change the broker.
///
/// # Panics
/// If the broker does not start.
#[expect(clippy::panic, reason = "a test cannot continue without its broker")]
pub fn shared_kafka() -> &'static Kafka {
    match &*SHARED {
        Ok((_, kafka)) => kafka,
        Err(error) => panic!("{error:#}"),
    }
}
