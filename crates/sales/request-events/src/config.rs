//! The settings, from Spin variables.

use component_settings::SettingError;

use crate::route::Routes;

/// The longest name of a topic in Kafka.
const TOPIC_BYTES_MAX: usize = 249;

/// The values of the Spin variables; empty if they are not declared.
#[derive(Debug, Default, Clone, Copy)]
pub struct Settings<'a> {
    /// `analytics_topic`.
    pub topic: &'a str,
    /// `analytics_routes`.
    pub routes: &'a str,
}

/// The configuration.
#[derive(Debug)]
pub struct Config {
    /// The topic of the events.
    pub topic: String,
    /// The routes that are distinguished.
    pub routes: Routes,
}

impl Config {
    /// The configuration that the variables describe.
    pub fn new(settings: &Settings<'_>) -> Result<Self, SettingError> {
        let topic = settings.topic;
        let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !(1..=TOPIC_BYTES_MAX).contains(&topic.len()) || !topic.chars().all(is_valid) {
            return Err(SettingError::new("analytics_topic", "must be the name of a topic"));
        }
        let routes = Routes::parse(settings.routes)
            .map_err(|reason| SettingError::new("analytics_routes", reason))?;
        Ok(Self { topic: topic.into(), routes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_variable() {
        let error = |topic: &str, routes: &str| {
            Config::new(&Settings { topic, routes }).map_err(|error| error.variable)
        };
        assert_eq!(error("", "").err(), Some("analytics_topic"));
        assert_eq!(error("a b", "").err(), Some("analytics_topic"));
        assert_eq!(error(&"a".repeat(250), "").err(), Some("analytics_topic"));
        assert_eq!(error("requests", "orders").err(), Some("analytics_routes"));
        assert!(error("requests", "").is_ok());
    }
}
