//! Methods that create settings in code.

use std::time::Duration;

use kafka_client::{OidcSettings, Secret};

use crate::{Config, FailedRecords, Filter, GroupProtocol, Start};

/// Defines methods that set the field of the same name.
macro_rules! setters {
    ($($setting:ident: $value:ty),+ $(,)?) => {$(
        #[doc = concat!(
            "Sets [`", stringify!($setting), "`](Config#structfield.", stringify!($setting), ").",
        )]
        #[must_use]
        pub fn $setting(mut self, $setting: $value) -> Self {
            self.$setting = $setting.into();
            self
        }
    )+};
}

impl Config {
    /// Settings with these bootstrap brokers (`host:port`, separated by commas), topics and consumer
    /// group, and the default of every other setting. They are not checked yet.
    pub fn new(
        brokers: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
        group: impl Into<String>,
    ) -> Self {
        Self {
            brokers: brokers.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            group: group.into(),
            ..Self::default()
        }
    }

    setters! {
        brokers: impl Into<String>,
        group: impl Into<String>,
        group_protocol: GroupProtocol,
        instance_id: impl Into<String>,
        client_id: impl Into<String>,
        start: Start,
        batch_records_max: usize,
        batch_bytes_max: usize,
        batch_wait: Duration,
        concurrency_max: usize,
        key_concurrency: usize,
        retry_backoff: Duration,
        retry_backoff_max: Duration,
        retry_attempts_max: u32,
        poison_attempts: u32,
        failed_records: FailedRecords,
        dead_letter_topic: impl Into<String>,
        output_records_max: usize,
        output_bytes_max: usize,
        transaction_timeout: Duration,
        poison_in_a_row_max: u32,
        drain_deadline: Duration,
        session_timeout: Duration,
        queue_bytes_max: usize,
        memory_bytes_max: usize,
        commit_interval: Duration,
        stalled_after: Duration,
        lag_per_replica: u64,
    }

    /// Sets [`topics`](Config#structfield.topics).
    #[must_use]
    pub fn topics(mut self, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`output_topics`](Config#structfield.output_topics).
    #[must_use]
    pub fn output_topics(mut self, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.output_topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`filters`](Config#structfield.filters).
    #[must_use]
    pub fn filters(mut self, filters: impl IntoIterator<Item = Filter>) -> Self {
        self.filters = filters.into_iter().collect();
        self
    }

    /// Sets [`oauth_token`](Config#structfield.oauth_token).
    #[must_use]
    pub fn oauth_token(mut self, token: impl Into<Secret>) -> Self {
        self.oauth_token = Some(token.into());
        self
    }

    /// Sets [`oauth`](Config#structfield.oauth).
    #[must_use]
    pub fn oauth(mut self, provider: OidcSettings) -> Self {
        self.oauth = Some(provider);
        self
    }

    /// Sets [`client`](Config#structfield.client): further librdkafka properties, by name.
    #[must_use]
    pub fn client(
        mut self,
        properties: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        self.client = properties.into_iter().collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_in_code_equals_the_one_in_toml() {
        let filter = Filter::prefix("json:/shop".parse().unwrap(), "es-");
        let in_code = Config::new("localhost:9092", ["sales"], "group")
            .group_protocol(GroupProtocol::Consumer)
            .filters([filter])
            .drain_deadline(Duration::from_secs(2))
            .oauth_token("token".to_owned())
            .client([("security.protocol", "sasl_ssl")]);
        let in_toml: Config = toml::from_str(
            r#"
            brokers = "localhost:9092"
            topics = ["sales"]
            group = "group"
            group_protocol = "consumer"
            filters = [{ on = "json:/shop", prefix = "es-" }]
            drain_deadline_ms = 2000
            oauth_token = "token"
            [client]
            "security.protocol" = "sasl_ssl"
            "#,
        )
        .unwrap();
        assert_eq!(in_code, in_toml);
    }
}
