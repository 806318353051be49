//! A broker that the tests of one process share: a JVM takes seconds to start.

use std::sync::LazyLock;
use std::thread;

use anyhow::{Result, anyhow};
use tokio::runtime::Runtime;

use crate::{Kafka, KafkaConfig};

/// The broker with the runtime that waits for it: the tests' own runtimes end before it does.
static SHARED: LazyLock<Result<(Runtime, Kafka)>> = LazyLock::new(|| {
    let start = || {
        let runtime = Runtime::new()?;
        let kafka = runtime.block_on(Kafka::start(KafkaConfig::default()))?;
        Ok((runtime, kafka))
    };
    // The caller may be inside a runtime, where nothing may block on another.
    let started = thread::spawn(start).join();
    started.unwrap_or_else(|_| Err(anyhow!("the thread that started Kafka panicked")))
});

/// A broker that all callers in this process share. The first call starts it; it ends with the
/// process. For tests that use topics and groups of their own and leave the broker as it is.
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
