//! Which upstream a request is sent to, and with which headers.

mod balancer;
mod forwarded;
mod health;
mod sticky;
mod upstream;

use std::time::Duration;

use component_settings::{SettingError, list, milliseconds, number};
use http::StatusCode;
use ipnet::IpNet;

pub use balancer::{Balancer, Change, Choice};
pub use forwarded::{Client, forwarded_headers};
pub use health::{HealthChecks, HealthSettings};
pub use sticky::Sticky;
pub use upstream::Upstream;

use crate::setting::{TIMEOUT_MAX, statuses};

/// Maximum number of networks of trusted proxies.
const NETWORKS_MAX: usize = 64;

/// The default of `balance_timeout_ms`. It leaves time for three attempts in that of `retry`.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);

/// The values of the Spin variables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// `balance_upstreams`: the URLs, separated by commas.
    pub upstreams: &'a str,
    /// `balance_strategy`: `round-robin` or `p2c`.
    pub strategy: &'a str,
    /// `balance_sticky`: `header:NAME` or `cookie:NAME`.
    pub sticky: &'a str,
    /// `balance_failure_statuses`: the statuses that are failures, separated by commas, or `none`.
    pub failure_statuses: &'a str,
    /// `balance_failures_max`: the consecutive failures after which an upstream is ejected.
    pub failures_max: &'a str,
    /// `balance_ejection_s`: the time for which it is ejected.
    pub ejection_s: &'a str,
    /// `balance_timeout_ms`: the time until the head of a response.
    pub timeout_ms: &'a str,
    /// `balance_trusted_proxies`: the networks of clients whose forwarding headers are kept.
    pub trusted_proxies: &'a str,
    /// The variables that begin with `balance_health_`.
    pub health: HealthSettings<'a>,
}

/// How an upstream is chosen for a request without a sticky key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Each one after the other.
    RoundRobin,
    /// Of two random ones, the one with fewer requests in flight.
    PowerOfTwoChoices,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The upstreams; at least one.
    pub upstreams: Vec<Upstream>,
    /// How one is chosen for a request without a key.
    pub strategy: Strategy,
    /// Where the key of a request is.
    pub sticky: Option<Sticky>,
    failure_statuses: Vec<StatusCode>,
    /// The consecutive failures after which an upstream is ejected.
    pub failures_max: u32,
    /// The time for which it is ejected, without health checks.
    pub ejection: Duration,
    /// The time until the head of a response.
    pub timeout: Duration,
    /// The networks of clients whose forwarding headers are kept.
    pub trusted: Vec<IpNet>,
    /// The health checks of the upstreams.
    pub health: Option<HealthChecks>,
}

impl Config {
    /// Checks the settings.
    pub fn new(settings: &Settings<'_>) -> Result<Self, SettingError> {
        let strategy = match settings.strategy {
            "" | "round-robin" => Strategy::RoundRobin,
            "p2c" => Strategy::PowerOfTwoChoices,
            _ => {
                let reason = "must be `round-robin` or `p2c`";
                return Err(SettingError::new("balance_strategy", reason));
            }
        };
        let timeout = TIMEOUT;
        let ejection_s = number("balance_ejection_s", settings.ejection_s, Some(30), 1..=3_600)?;
        let upstreams = Upstream::parse_list(settings.upstreams)?;
        Ok(Self {
            health: HealthChecks::new(&settings.health, &upstreams)?,
            upstreams,
            strategy,
            sticky: Sticky::parse(settings.sticky)?,
            failure_statuses: statuses("balance_failure_statuses", settings.failure_statuses)?,
            failures_max: number(
                "balance_failures_max",
                settings.failures_max,
                Some(5),
                1..=1_000,
            )?,
            ejection: Duration::from_secs(ejection_s),
            timeout: milliseconds("balance_timeout_ms", settings.timeout_ms, timeout, TIMEOUT_MAX)?,
            trusted: networks(settings.trusted_proxies)?,
        })
    }

    /// Whether a response with this status is a failure.
    pub fn is_failure(&self, status: u16) -> bool {
        self.failure_statuses.iter().any(|failure| *failure == status)
    }
}

fn networks(text: &str) -> Result<Vec<IpNet>, SettingError> {
    let network =
        |text: &str| text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    let networks = list(text).map(network).collect::<Result<Vec<_>, _>>().ok();
    networks.filter(|networks| networks.len() <= NETWORKS_MAX).ok_or_else(|| {
        let reason = format!("must be at most {NETWORKS_MAX} networks, such as `10.0.0.0/8`");
        SettingError::new("balance_trusted_proxies", reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let valid = Settings { upstreams: "http://a", ..Settings::default() };
        let config = Config::new(&valid).unwrap();
        assert_eq!(config.strategy, Strategy::RoundRobin);
        assert_eq!(config.ejection, Duration::from_secs(30));
        assert!(config.is_failure(503) && !config.is_failure(500));
        let trusted = Settings { trusted_proxies: "10.0.0.0/8, ::1", ..valid };
        assert_eq!(Config::new(&trusted).unwrap().trusted.len(), 2);
        for (settings, variable) in [
            (Settings::default(), "balance_upstreams"),
            (Settings { strategy: "random", ..valid }, "balance_strategy"),
            (Settings { sticky: "x-user", ..valid }, "balance_sticky"),
            (Settings { failure_statuses: "200", ..valid }, "balance_failure_statuses"),
            (Settings { failures_max: "0", ..valid }, "balance_failures_max"),
            (Settings { ejection_s: "3601", ..valid }, "balance_ejection_s"),
            (Settings { timeout_ms: "25001", ..valid }, "balance_timeout_ms"),
            (Settings { trusted_proxies: "10.0.0.0/33", ..valid }, "balance_trusted_proxies"),
            (
                Settings { health: HealthSettings { path: "x", ..valid.health }, ..valid },
                "balance_health_path",
            ),
        ] {
            assert_eq!(Config::new(&settings).unwrap_err().variable, variable);
        }
    }
}
