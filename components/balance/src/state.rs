//! The state of the upstreams in this instance.

use std::cell::RefCell;
use std::time::Duration;

use guest_http::report_change;
use guest_tasks::now_ms;
use request_policies::balance::{Balancer, Change, Choice, Config};

thread_local! {
    static BALANCER: RefCell<Option<Balancer>> = const { RefCell::new(None) };
}

/// Uses the state, at the present time.
pub fn with_balancer<T>(config: &Config, change: impl FnOnce(&mut Balancer, Duration) -> T) -> T {
    let now = Duration::from_millis(now_ms());
    BALANCER.with_borrow_mut(|own| change(own.get_or_insert_with(|| Balancer::new(config)), now))
}

/// Logs a change of an upstream, and the reason.
pub fn report(config: &Config, choice: Choice, change: Option<Change>, reason: &str) {
    let (Some(change), Some(upstream)) = (change, config.upstreams.get(choice.index)) else {
        return;
    };
    report_change(&match change {
        Change::EjectedFor(time) => {
            format!("upstream {upstream} gets no requests for {} s: {reason}", time.as_secs())
        }
        Change::EjectedUntilHealthy => {
            format!("upstream {upstream} gets no requests until it is healthy: {reason}")
        }
        Change::AllEjected => {
            format!("no upstream is healthy, so all of them get requests; {upstream}: {reason}")
        }
        Change::Returned => format!("upstream {upstream} gets requests again: {reason}"),
    });
}
