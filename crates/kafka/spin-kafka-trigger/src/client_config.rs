//! Translates the settings into librdkafka's properties.

use std::time::Duration;

use kafka_client::ClientSettings;

use crate::client_properties::queued_records;
use crate::{Config, GroupProtocol};

/// librdkafka's default of `max.poll.interval.ms`. The value must not be below the session timeout.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(300);
/// The pause before librdkafka fetches again for a partition whose queue was full. With
/// librdkafka's default of a second the handler would be idle for most of that time.
const QUEUE_BACKOFF_MS: &str = "5";
/// How often the client looks for changed topics; librdkafka's default is five minutes.
const METADATA_REFRESH_MS: &str = "30000";
/// The longest message that the client accepts. The limit that matters is the topic's, which the
/// broker checks.
const MESSAGE_BYTES_MAX: &str = "100000000";
/// How long a letter may wait for the broker. Then the reason is logged, and the letter is sent
/// again.
const LETTER_TIMEOUT_MS: &str = "30000";
/// The most letters, and kilobytes of letters, in the producer's queue; the letters after them
/// wait. This memory is not part of `memory_bytes_max`. The limit is above the size of the longest
/// letter.
const LETTERS_QUEUED_MAX: &str = "10000";
const LETTERS_QUEUED_KBYTES_MAX: &str = "262144";
/// How long a topic may be unknown to the brokers before a record for it fails.
const TOPIC_PROPAGATION_MS: &str = "5000";
/// How long a request may wait for the broker's answer, unless `client` sets another value. This is
/// librdkafka's default. It also limits the commits that block: they take at most the session
/// timeout, while the group's coordinator is looked for, plus this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The two names of the property that limits how long a record may wait for the broker.
const MESSAGE_TIMEOUT: [&str; 2] = ["message.timeout.ms", "delivery.timeout.ms"];
/// The two names of the property for a producer's compression.
const COMPRESSION: [&str; 2] = ["compression.type", "compression.codec"];

/// A duration in librdkafka's form.
fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// The configuration of a member of the group.
pub(crate) fn consumer(config: &Config) -> ClientSettings {
    let mut native = common(config);
    let poll_interval = config.session_timeout.max(POLL_INTERVAL_MAX);
    native
        .set_default("max.poll.interval.ms", milliseconds(poll_interval))
        .set_default("fetch.queue.backoff.ms", QUEUE_BACKOFF_MS)
        .set("group.id", &config.group)
        .set("queued.max.messages.kbytes", (config.queue_bytes_max / 1024).to_string())
        .set("queued.min.messages", queued_records(config.queue_bytes_max).to_string())
        .set("auto.commit.interval.ms", milliseconds(config.commit_interval))
        // Only offsets that the handler has applied are stored, and only stored offsets are
        // committed.
        .set("enable.auto.commit", "true")
        .set("enable.auto.offset.store", "false")
        // The engine always reads from an explicit position. This setting applies to a position
        // that has disappeared from the log in the meantime, which the engine detects and reports.
        .set("auto.offset.reset", "earliest")
        // The end event is needed because the last offsets of a log may belong to no record, for
        // example to transaction markers.
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false");
    if !config.instance_id.is_empty() {
        native.set("group.instance.id", &config.instance_id);
    }
    match config.group_protocol {
        GroupProtocol::Classic => native
            .set("session.timeout.ms", milliseconds(config.session_timeout))
            .set("partition.assignment.strategy", "cooperative-sticky"),
        GroupProtocol::Consumer => native.set("group.protocol", "consumer"),
    };
    native
}

/// The configuration of a client that reads outside the group.
pub(crate) fn reader(config: &Config) -> ClientSettings {
    consumer(&Config { instance_id: String::new(), ..config.clone() })
}

/// The configuration of a client that only queries metadata.
pub(crate) fn inquirer(config: &Config) -> ClientSettings {
    common(config)
}

/// The configuration of the producer of dead letters.
pub(crate) fn producer(config: &Config) -> ClientSettings {
    let mut native = common(config);
    native
        .set_default("message.max.bytes", MESSAGE_BYTES_MAX)
        .set_default("message.timeout.ms", LETTER_TIMEOUT_MS)
        .set_default("queue.buffering.max.messages", LETTERS_QUEUED_MAX)
        .set_default("queue.buffering.max.kbytes", LETTERS_QUEUED_KBYTES_MAX)
        // The broker checks the size of a whole batch: a letter must not be refused because of
        // other letters in its batch.
        .set_default("batch.num.messages", "1");
    set_delivery(config, &mut native);
    native
}

/// What all producers have in common: compression, acknowledgements, and the choice of a partition.
fn set_delivery(config: &Config, native: &mut ClientSettings) {
    if !COMPRESSION.iter().any(|name| config.client.contains(name)) {
        // A record that was compressed by its producer may be several times larger than its topic's
        // limit.
        native.set_default(COMPRESSION[0], if cfg!(feature = "zstd") { "zstd" } else { "lz4" });
    }
    native
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // The partitioner of the Java clients, so that the letters of a key are in one partition.
        .set("partitioner", "murmur2_random");
}

/// The configuration of the producer that writes in transactions.
pub(crate) fn transactional_producer(config: &Config, transactional_id: &str) -> ClientSettings {
    let mut native = common(config);
    native
        .set_default("message.max.bytes", MESSAGE_BYTES_MAX)
        .set_default("queue.buffering.max.messages", LETTERS_QUEUED_MAX)
        .set_default("queue.buffering.max.kbytes", LETTERS_QUEUED_KBYTES_MAX)
        .set_default("topic.metadata.propagation.max.ms", TOPIC_PROPAGATION_MS);
    set_delivery(config, &mut native);
    // The topics must exist, as those of the host's producer.
    native
        .set("allow.auto.create.topics", "false")
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", milliseconds(config.transaction_timeout));
    // librdkafka accepts no longer times than that of the transaction.
    for name in MESSAGE_TIMEOUT {
        native.set(name, milliseconds(config.transaction_timeout));
    }
    native.set("socket.timeout.ms", milliseconds(config.transaction_timeout.min(REQUEST_TIMEOUT)));
    native
}

/// The configuration of the producer that sends letters back within a time limit. It replaces the
/// timeout in `client`, for which librdkafka has two names.
pub(crate) fn bounded_producer(config: &Config) -> ClientSettings {
    let mut native = producer(config);
    for name in MESSAGE_TIMEOUT {
        native.set(name, LETTER_TIMEOUT_MS);
    }
    native
}

/// The configuration that all clients share.
fn common(config: &Config) -> ClientSettings {
    let mut native = ClientSettings::new(&config.brokers, &config.client);
    native
        .set_default("socket.nagle.disable", "true")
        .set_default("socket.keepalive.enable", "true")
        .set_default("socket.timeout.ms", milliseconds(REQUEST_TIMEOUT))
        // This limits the time until the client detects a topic that was created, or one for which
        // it was given the permission to read.
        .set_default("topic.metadata.refresh.interval.ms", METADATA_REFRESH_MS)
        .set_tokens(config.tokens().as_ref())
        .set("client.id", &config.client_id);
    native
}

#[cfg(test)]
mod tests {
    use kafka_client::BasicContext;
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::FutureProducer;

    use super::*;

    type Consumer = BaseConsumer<BasicContext>;
    type Producer = FutureProducer<BasicContext>;

    fn config() -> Config {
        Config::new("localhost:9092", ["sales"], "group")
    }

    #[test]
    fn an_absurd_session_timeout_still_fits_librdkafka() {
        let config = Config { session_timeout: Duration::from_secs(3_600), ..config() };
        consumer(&config).create::<Consumer, _>(BasicContext::default()).unwrap();
    }

    #[test]
    fn both_protocols_with_a_lasting_name_are_taken() {
        for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            let config = Config { group_protocol, instance_id: "one".into(), ..config() };
            consumer(&config).create::<Consumer, _>(BasicContext::default()).unwrap();
            drop(producer(&config).create::<Producer, _>(BasicContext::default()).unwrap());
            drop(bounded_producer(&config).create::<Producer, _>(BasicContext::default()).unwrap());
            let transactional = transactional_producer(&config, "group.one");
            drop(transactional.create::<Producer, _>(BasicContext::default()).unwrap());
        }
    }
}
