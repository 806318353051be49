//! The settings in librdkafka's words.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::{Config, GroupProtocol, oauth};

/// librdkafka's own `max.poll.interval.ms`, which may not be below the session timeout.
const POLL_INTERVAL_MAX_MS: u64 = 300_000;
/// A partition whose queue was full asks for more after this pause. librdkafka's default of a
/// second would leave the handler idle for most of it.
const QUEUE_BACKOFF_MS: &str = "5";
/// So many records are fetched ahead at most: `queue_bytes_max` over this. With a third of them
/// the handler waited for records two fifths of its time (`cargo xtask bench`, drain).
const QUEUED_RECORD_BYTES: usize = 160;
/// About what librdkafka keeps for a queued record besides its bytes.
const RECORD_OVERHEAD_BYTES: usize = 512;
/// librdkafka's default `fetch.message.max.bytes`.
const FETCH_BYTES: usize = 1024 * 1024;
/// What a fetch takes when it is unpacked into records of 100 bytes, as a multiple of its size.
const FETCH_FACTOR: usize = 6;
/// How often the client looks whether its topics changed; librdkafka's default is five minutes.
const METADATA_REFRESH_MS: &str = "30000";
/// Longest message that the client itself lets pass; the broker judges by the topic's limit.
const MESSAGE_BYTES_MAX: &str = "100000000";
/// How long a letter may wait for the broker before the log says why; then it is sent again.
const LETTER_TIMEOUT_MS: &str = "30000";
/// Most letters, and kilobytes of them, in the producer's queue, beside `memory_bytes_max`; further
/// ones wait for room. More than the longest letter.
const LETTERS_QUEUED_MAX: &str = "10000";
const LETTERS_QUEUED_KBYTES_MAX: &str = "262144";
/// How long a request may wait for the broker's answer, unless `client` says something else. It
/// also limits the commits that are waited for: they take at most the session timeout, while the
/// group's coordinator is looked for, and this. librdkafka's default.
const REQUEST_TIMEOUT_MS: &str = "60000";
/// Both names of the property that chooses a producer's compression.
const COMPRESSION: [&str; 2] = ["compression.type", "compression.codec"];

/// For a member of the group.
pub(crate) fn consumer(config: &Config) -> ClientConfig {
    let mut native = ClientConfig::new();
    let poll_interval_ms = config.session_timeout_ms.max(POLL_INTERVAL_MAX_MS);
    native
        .set("max.poll.interval.ms", poll_interval_ms.to_string())
        .set("fetch.queue.backoff.ms", QUEUE_BACKOFF_MS);
    common(config, &mut native);
    native
        .set("group.id", &config.group)
        .set("queued.max.messages.kbytes", (config.queue_bytes_max / 1024).to_string())
        .set("queued.min.messages", queued_records(config).to_string())
        .set("auto.commit.interval.ms", config.commit_interval_ms.to_string())
        // Only what the handler has applied is stored, and only what is stored committed.
        .set("enable.auto.commit", "true")
        .set("enable.auto.offset.store", "false")
        // The engine always reads from an explicit position; this is for a position that
        // the log lost meanwhile, which the engine notices and reports.
        .set("auto.offset.reset", "earliest")
        // Offsets without a record, such as the markers of transactions, may end the log.
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false");
    if !config.instance_id.is_empty() {
        native.set("group.instance.id", &config.instance_id);
    }
    match config.group_protocol {
        GroupProtocol::Classic => native
            .set("session.timeout.ms", config.session_timeout_ms.to_string())
            .set("partition.assignment.strategy", "cooperative-sticky"),
        GroupProtocol::Consumer => native.set("group.protocol", "consumer"),
    };
    native
}

/// For reading outside the group.
pub(crate) fn reader(config: &Config) -> ClientConfig {
    consumer(&Config { instance_id: String::new(), ..config.clone() })
}

/// For a client that only asks about topics.
pub(crate) fn inquirer(config: &Config) -> ClientConfig {
    let mut native = ClientConfig::new();
    common(config, &mut native);
    native
}

/// For the producer of dead letters.
pub(crate) fn producer(config: &Config) -> ClientConfig {
    let mut native = ClientConfig::new();
    native
        .set("message.max.bytes", MESSAGE_BYTES_MAX)
        .set("message.timeout.ms", LETTER_TIMEOUT_MS)
        .set("queue.buffering.max.messages", LETTERS_QUEUED_MAX)
        .set("queue.buffering.max.kbytes", LETTERS_QUEUED_KBYTES_MAX)
        // The broker judges the size of a batch: a letter must not be refused for its neighbours.
        .set("batch.num.messages", "1");
    if !COMPRESSION.iter().any(|name| config.client.contains(name)) {
        // A record that was compressed fits its topic with a multiple of the topic's limit.
        native.set(COMPRESSION[0], "zstd");
    }
    common(config, &mut native);
    native
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // As Java's clients choose, so that a key's letters lie in one partition.
        .set("partitioner", "murmur2_random");
    native
}

fn common(config: &Config, native: &mut ClientConfig) {
    native
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true")
        .set("socket.timeout.ms", REQUEST_TIMEOUT_MS)
        // A topic that was made, or that this client may read now, is noticed so soon.
        .set("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS);
    if config.oauth_token().is_some() {
        native.set("sasl.mechanism", oauth::MECHANISM);
    }
    for (name, value) in config.client.iter() {
        native.set(name, value);
    }
    native
        .set("bootstrap.servers", config.brokers.trim())
        .set("client.id", &config.client_id)
        .set_log_level(RDKafkaLogLevel::Info);
}

/// What a partition that is being read may take: its queue, the fetch that overshoots it, and a
/// batch that is gathered while another is with the handler.
pub(crate) fn partition_bytes_max(config: &Config) -> usize {
    let fetch = config.client.get("fetch.message.max.bytes").and_then(|text| text.parse().ok());
    let records = queued_records(config).saturating_mul(RECORD_OVERHEAD_BYTES);
    config
        .queue_bytes_max
        .saturating_add(records)
        .saturating_add(fetch.unwrap_or(FETCH_BYTES).saturating_mul(FETCH_FACTOR))
        .saturating_add(config.batch_bytes_max.saturating_mul(2))
}

fn queued_records(config: &Config) -> usize {
    (config.queue_bytes_max / QUEUED_RECORD_BYTES).max(1)
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::BaseProducer;

    use super::*;

    fn config() -> Config {
        Config { brokers: "localhost:9092".into(), group: "group".into(), ..Config::default() }
    }

    #[test]
    fn an_absurd_session_timeout_still_fits_librdkafka() {
        let config = Config { session_timeout_ms: 3_600_000, ..config() };
        consumer(&config).create::<BaseConsumer>().unwrap();
    }

    #[test]
    fn both_protocols_with_a_lasting_name_are_taken() {
        for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            let config = Config { group_protocol, instance_id: "one".into(), ..config() };
            consumer(&config).create::<BaseConsumer>().unwrap();
            producer(&config).create::<BaseProducer>().unwrap();
        }
    }
}
