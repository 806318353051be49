//! The second function of the suite, `counts-words`: it counts the words of texts in windows of event
//! time with `#[kafka::fold]` of `spin-kafka-sdk`.

use std::collections::BTreeMap;

use anyhow::Result;
use ledger::Difference;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands as _, FromRedisValue};

use super::books::Tally;
use super::word_books::{SETTINGS, WordBooks, WordCounts};

/// Its dead-letter topic.
pub const LETTERS: &str = "texts.dead-letter";
/// The component that is built.
pub const COMPONENT: &str = "target/components/counts_words.wasm";

/// Added to the manifests of the members.
pub fn manifest() -> String {
    format!(
        r#"
[[trigger.kafka]]
topic = "texts"
group = "words"
component = "counts-words"

[component.counts-words]
source = "{COMPONENT}"
allowed_outbound_hosts = ["tcp://{{{{ valkey_address }}}}"]

[component.counts-words.variables]
valkey_url = "{{{{ valkey_url }}}}"
idempotency_keys_max = "{{{{ idempotency_keys_max }}}}"
idempotency_window_s = "{{{{ idempotency_window_s }}}}"
windows = '''{SETTINGS}'''
"#
    )
}

/// Compares the windows and the numbers of late records.
pub async fn compare(books: &WordBooks, url: &str) -> Result<(Tally, Vec<Difference>)> {
    let mut store = ledger::connect(url).await?;
    let counted = read_windows(&mut store).await?;
    let late: BTreeMap<String, u64> = store.hgetall("{words:1}:late").await?;
    let (mut tally, mut differences, none) = (Tally::default(), Vec::new(), WordCounts::default());
    let mut starts: Vec<i64> = books.windows.keys().chain(counted.keys()).copied().collect();
    starts.sort_unstable();
    starts.dedup();
    for start in starts {
        let expected = books.windows.get(&start).unwrap_or(&none);
        let actual = counted.get(&start).unwrap_or(&none);
        tally.add(expected.texts, actual.texts);
        if expected != actual {
            differences.push(difference(&format!("window {start}"), expected, actual));
        }
    }
    for (name, expected) in [("records", books.late_records), ("windows", books.late_windows)] {
        let actual = late.get(name).copied().unwrap_or(0);
        if expected != actual {
            differences.push(difference(&format!("late {name}"), &expected, &actual));
        }
    }
    Ok((tally, differences))
}

fn difference(
    key: &str,
    expected: &impl std::fmt::Debug,
    actual: &impl std::fmt::Debug,
) -> Difference {
    let (expected, actual) = (format!("{expected:?}"), format!("{actual:?}"));
    Difference { key: format!("{{words:1}}:{key}"), expected, actual }
}

/// The counts of each window, by its start in ms since 1970.
async fn read_windows(store: &mut MultiplexedConnection) -> Result<BTreeMap<i64, WordCounts>> {
    let mut windows: BTreeMap<i64, WordCounts> = BTreeMap::new();
    let texts: Vec<(i64, BTreeMap<String, u64>)> = read_all(store, "texts", |pipe, key| {
        pipe.hgetall(key);
    })
    .await?;
    for (start, texts) in texts {
        windows.entry(start).or_default().texts = texts.values().sum();
    }
    let words: Vec<(i64, BTreeMap<String, u64>)> = read_all(store, "words", |pipe, key| {
        pipe.zrange_withscores(key, 0, -1);
    })
    .await?;
    for (start, words) in words {
        windows.entry(start).or_default().words = words;
    }
    Ok(windows)
}

/// The value of an aggregate in each window.
async fn read_all<T: FromRedisValue>(
    store: &mut MultiplexedConnection,
    aggregate: &str,
    read: impl Fn(&mut redis::Pipeline, &str),
) -> Result<Vec<(i64, T)>> {
    let prefix = format!("{{words:1}}:{aggregate}:");
    let keys: Vec<String> = store.keys(format!("{prefix}*")).await?;
    let mut pipe = redis::pipe();
    keys.iter().for_each(|key| read(&mut pipe, key));
    let values: Vec<T> = if keys.is_empty() { Vec::new() } else { pipe.query_async(store).await? };
    let start = |key: &String| -> Result<i64> { Ok(key[prefix.len()..].parse::<i64>()? * 1_000) };
    keys.iter().zip(values).map(|(key, value)| Ok((start(key)?, value))).collect()
}
