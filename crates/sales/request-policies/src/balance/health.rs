//! Health checks: requests of `balance` itself, which find out whether an upstream works.

use std::time::Duration;

use component_settings::{SettingError, list, milliseconds, number};
use http::StatusCode;
use http::uri::PathAndQuery;

use super::Upstream;
use crate::setting::TIMEOUT_MAX;

/// The default of `balance_health_timeout_ms`.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of statuses of a healthy upstream.
const STATUSES_MAX: usize = 16;

/// The values of the Spin variables for health checks.
#[derive(Debug, Clone, Copy, Default)]
pub struct HealthSettings<'a> {
    /// `balance_health_path`: the path that is requested; without it, there are no checks.
    pub path: &'a str,
    /// `balance_health_interval_s`: the time between two checks.
    pub interval_s: &'a str,
    /// `balance_health_timeout_ms`: the time until the head of the answer.
    pub timeout_ms: &'a str,
    /// `balance_health_statuses`: the statuses of a healthy upstream, separated by commas.
    pub statuses: &'a str,
    /// `balance_health_failures_max`: the consecutive failed checks after which an upstream is ejected.
    pub failures_max: &'a str,
    /// `balance_health_successes`: the consecutive checks that end an ejection.
    pub successes: &'a str,
}

/// When upstreams are checked, and which answers they must give.
#[derive(Debug, Clone)]
pub struct HealthChecks {
    /// The path at each upstream, in the order of the upstreams.
    pub targets: Vec<String>,
    /// The time from the beginning of a check to that of the next one.
    pub interval: Duration,
    /// The time until the head of the answer.
    pub timeout: Duration,
    /// Empty for all that begin with 2.
    statuses: Vec<StatusCode>,
    failures_max: u32,
    successes: u32,
}

impl HealthChecks {
    /// Checks the settings. `None` if there are no checks.
    pub(super) fn new(
        settings: &HealthSettings<'_>,
        upstreams: &[Upstream],
    ) -> Result<Option<Self>, SettingError> {
        if settings.path.is_empty() {
            return Ok(None);
        }
        let interval_s =
            number("balance_health_interval_s", settings.interval_s, Some(5), 1..=3_600)?;
        let timeout = "balance_health_timeout_ms";
        let failures_max = "balance_health_failures_max";
        Ok(Some(Self {
            targets: targets(settings.path, upstreams)?,
            interval: Duration::from_secs(interval_s),
            timeout: milliseconds(timeout, settings.timeout_ms, TIMEOUT, TIMEOUT_MAX)?,
            statuses: statuses(settings.statuses)?,
            failures_max: number(failures_max, settings.failures_max, Some(2), 1..=100)?,
            successes: number("balance_health_successes", settings.successes, Some(2), 1..=100)?,
        }))
    }

    /// Whether the answer of a healthy upstream has this status.
    pub fn is_healthy(&self, status: u16) -> bool {
        match &*self.statuses {
            [] => (200..300).contains(&status),
            statuses => statuses.iter().any(|healthy| *healthy == status),
        }
    }
}

fn targets(path: &str, upstreams: &[Upstream]) -> Result<Vec<String>, SettingError> {
    let is_path = path.starts_with('/')
        && !path.contains('#')
        && path.parse::<PathAndQuery>().is_ok_and(|parsed| parsed.as_str() == path);
    let targets = upstreams.iter().map(|upstream| upstream.target(path).filter(|_| is_path));
    targets.collect::<Option<_>>().ok_or_else(|| {
        let reason = "must be a path such as `/health`, without empty, `.` or `..` segments";
        SettingError::new("balance_health_path", reason)
    })
}

fn statuses(text: &str) -> Result<Vec<StatusCode>, SettingError> {
    let status = |text: &str| match text.parse() {
        Ok(status @ 200..=599) => StatusCode::from_u16(status).ok(),
        _ => None,
    };
    let statuses = list(text).map(status).collect::<Option<Vec<_>>>();
    statuses.filter(|statuses| statuses.len() <= STATUSES_MAX).ok_or_else(|| {
        let reason = format!("must be at most {STATUSES_MAX} statuses from 200 to 599");
        SettingError::new("balance_health_statuses", reason)
    })
}

/// The checks of one upstream. At most one is in progress.
#[derive(Debug, Clone, Default)]
pub(super) struct CheckState {
    began: Option<Duration>,
    is_in_progress: bool,
    /// Consecutive ones since the last change of the upstream; one of the two is zero.
    failures: u32,
    successes: u32,
}

/// What the last checks say about an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    Bad,
}

impl CheckState {
    /// Begins a check, if it is due.
    pub fn begin(&mut self, checks: &HealthChecks, now: Duration) -> bool {
        let is_due = self.began.is_none_or(|began| now >= began + checks.interval);
        if self.is_in_progress || !is_due {
            return false;
        }
        (self.began, self.is_in_progress) = (Some(now), true);
        true
    }

    /// The check has ended, and its result does not count.
    pub fn end(&mut self) {
        self.is_in_progress = false;
    }

    /// Counts a result. `None` if more results are needed.
    pub fn count(&mut self, checks: &HealthChecks, is_healthy: bool) -> Option<Health> {
        if is_healthy {
            (self.failures, self.successes) = (0, self.successes.saturating_add(1));
            return (self.successes >= checks.successes).then_some(Health::Good);
        }
        (self.failures, self.successes) = (self.failures.saturating_add(1), 0);
        (self.failures >= checks.failures_max).then_some(Health::Bad)
    }

    /// Forgets the results, because the upstream was ejected.
    pub fn forget(&mut self) {
        (self.failures, self.successes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(settings: HealthSettings<'_>) -> Result<Option<HealthChecks>, SettingError> {
        HealthChecks::new(&settings, &Upstream::parse_list("http://a/v1,http://b").unwrap())
    }

    #[test]
    fn settings_are_checked() {
        let valid = HealthSettings { path: "/health?deep", ..HealthSettings::default() };
        assert!(new(HealthSettings { path: "", ..valid }).unwrap().is_none());
        let checks = new(valid).unwrap().unwrap();
        assert_eq!(checks.targets, ["/v1/health?deep", "/health?deep"]);
        assert_eq!((checks.interval, checks.timeout), (Duration::from_secs(5), TIMEOUT));
        let healthy = [199, 200, 204, 299, 300, 503].map(|status| checks.is_healthy(status));
        assert_eq!(healthy, [false, true, true, true, false, false]);
        let checks = new(HealthSettings { statuses: "200, 404", ..valid }).unwrap().unwrap();
        assert!(checks.is_healthy(404) && !checks.is_healthy(204));
        for (settings, variable) in [
            (HealthSettings { path: "health", ..valid }, "balance_health_path"),
            (HealthSettings { path: "/a b", ..valid }, "balance_health_path"),
            (HealthSettings { path: "/a#b", ..valid }, "balance_health_path"),
            (HealthSettings { path: "/../health", ..valid }, "balance_health_path"),
            (HealthSettings { interval_s: "0", ..valid }, "balance_health_interval_s"),
            (HealthSettings { timeout_ms: "25001", ..valid }, "balance_health_timeout_ms"),
            (HealthSettings { statuses: "200-299", ..valid }, "balance_health_statuses"),
            (HealthSettings { statuses: "100", ..valid }, "balance_health_statuses"),
            (HealthSettings { failures_max: "0", ..valid }, "balance_health_failures_max"),
            (HealthSettings { successes: "101", ..valid }, "balance_health_successes"),
        ] {
            assert_eq!(new(settings).unwrap_err().variable, variable);
        }
    }

    #[test]
    fn one_check_is_in_progress_at_most() {
        let settings = HealthSettings { path: "/", failures_max: "2", ..HealthSettings::default() };
        let checks = new(settings).unwrap().unwrap();
        let mut state = CheckState::default();
        let s = Duration::from_secs;
        assert!(state.begin(&checks, s(1)), "the first one is due at once");
        assert!(!state.begin(&checks, s(9)), "it is in progress");
        assert_eq!(state.count(&checks, false), None);
        state.end();
        assert!(state.begin(&checks, s(9)));
        state.end();
        assert!(!state.begin(&checks, s(13)), "the interval has not passed");
        assert_eq!(state.count(&checks, true), None);
        assert_eq!(state.count(&checks, false), None, "not in succession");
        assert_eq!(state.count(&checks, false), Some(Health::Bad));
        assert_eq!(state.count(&checks, true), None);
        assert_eq!(state.count(&checks, true), Some(Health::Good));
    }
}
