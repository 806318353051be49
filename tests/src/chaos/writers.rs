//! The load of texts during a fault.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use host_producer::{Producer, ProducerConfig};
use tokio::sync::{RwLock, RwLockWriteGuard};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::texts::{FOREIGN, PARTITIONS, Text};
use super::traffic::Manners;
use super::word_books::WordBooks;
use test_servers::WAIT_LIMIT;

/// Time between two texts of a partition.
const INTERVAL: Duration = Duration::from_millis(50);
/// Maximum time until a text without a key is acknowledged, in ms. It is written only once.
const KEYLESS_LIMIT_MS: u64 = 60_000;
/// Percentage of the texts without a key, if there are any.
const KEYLESS: u8 = 80;
/// Percentage of the texts with a key that are written again.
const REPEAT: u8 = 10;
/// A text is written again after at most this number of other ones, when it may be late.
const REPEAT_AFTER_MAX: u64 = 40;

/// What was written to the topic of texts, and the producers.
pub struct Texts {
    books: Mutex<WordBooks>,
    /// The number of the next text of each partition.
    numbers: [AtomicI64; PARTITIONS as usize],
    /// Held for each write, and exclusively while nothing may be written.
    writing: RwLock<()>,
    keyed: Producer,
    keyless: Producer,
}

impl Texts {
    /// Uses these brokers for the load.
    pub fn new(brokers: &str) -> Result<Self> {
        let config = ProducerConfig::new(brokers);
        let keyless = ProducerConfig {
            delivery_timeout_ms: KEYLESS_LIMIT_MS,
            unreachable_timeout_ms: KEYLESS_LIMIT_MS,
            ..config.clone()
        };
        Ok(Self {
            books: Mutex::default(),
            numbers: Default::default(),
            writing: RwLock::default(),
            keyed: Producer::new(config)?,
            keyless: Producer::new(keyless)?,
        })
    }

    /// What must have been counted.
    pub fn books(&self) -> MutexGuard<'_, WordBooks> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next text of a partition.
    pub fn next(&self, partition: i32) -> Text {
        let number = &self.numbers[partition as usize];
        Text::new(partition, number.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits until every text that is being written is acknowledged. No other one is written until
    /// the guard is dropped.
    pub async fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.writing.write().await
    }

    /// Writes a text until it is acknowledged, and adds it to the books.
    async fn write(&self, partition: i32, text: &Text, has_key: bool) -> Result<()> {
        let _writing = self.writing.read().await;
        self.send(partition, text, has_key).await?;
        self.books().add(partition, text, None);
        Ok(())
    }

    /// Writes a text with a key again, which has no effect.
    async fn repeat(&self, partition: i32, text: &Text) -> Result<()> {
        let _writing = self.writing.read().await;
        self.books().maybe_rejected.insert(text.id.clone());
        self.send(partition, text, true).await
    }

    async fn send(&self, partition: i32, text: &Text, has_key: bool) -> Result<()> {
        let record = || vec![text.record(partition, has_key)];
        if !has_key {
            let written = self.keyless.send(record()).await;
            written.context("a text without a key was not written at the first attempt")?;
            return Ok(());
        }
        let written = async {
            while self.keyed.send(record()).await.is_err() {
                self.books().maybe_rejected.insert(text.id.clone());
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(WAIT_LIMIT, written).await.context("a text was not acknowledged")
    }
}

/// The writers of an episode: one for each partition.
pub struct Writers {
    texts: Arc<Texts>,
    stop: CancellationToken,
    running: JoinSet<Result<u64>>,
}

impl Writers {
    /// Starts to write texts.
    pub fn start(texts: &Arc<Texts>, seed: u64, manners: Manners) -> Self {
        let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
        for partition in (0..PARTITIONS).filter(|partition| *partition != FOREIGN) {
            let random = Rng::with_seed(seed.wrapping_add(partition.unsigned_abs().into()));
            running.spawn(write(texts.clone(), partition, random, manners, stop.clone()));
        }
        Self { texts: texts.clone(), stop, running }
    }

    /// Lets each writer write one more text. Returns the number of texts that were written. The last
    /// one is in the partition of the other programs: that Valkey has lost data is detected with the
    /// next record of a partition.
    pub async fn finish(mut self) -> Result<u64> {
        self.stop.cancel();
        let mut sum = 0;
        while let Some(written) = self.running.join_next().await {
            sum += written??;
        }
        self.texts.write(FOREIGN, &self.texts.next(FOREIGN), true).await?;
        Ok(sum + 1)
    }
}

async fn write(
    texts: Arc<Texts>,
    partition: i32,
    mut random: Rng,
    manners: Manners,
    stop: CancellationToken,
) -> Result<u64> {
    // Texts to repeat, and the number of texts after which this happens.
    let mut repeats: Vec<(u64, Text)> = Vec::new();
    let mut written = 0;
    loop {
        let is_last = stop.is_cancelled();
        let text = texts.next(partition);
        let has_key = !manners.keyless || random.u8(..100) >= KEYLESS;
        texts.write(partition, &text, has_key).await?;
        written += 1;
        if is_last {
            return Ok(written);
        }
        let repeat = if manners.repeat_all { 100 } else { REPEAT };
        if has_key && random.u8(..100) < repeat {
            let after = random.u64(1..=REPEAT_AFTER_MAX);
            repeats.push((written + after, text));
        }
        for (_, text) in repeats.extract_if(.., |(at, _)| *at <= written) {
            texts.repeat(partition, &text).await?;
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
}
