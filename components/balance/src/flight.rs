//! Requests in flight.

use std::cell::RefCell;
use std::time::Duration;

use guest_http::report_change;
use guest_tasks::now_ms;
use http::HeaderMap;
use request_policies::balance::{Balancer, Choice, Config, Upstream};

thread_local! {
    static BALANCER: RefCell<Option<Balancer>> = const { RefCell::new(None) };
}

/// A request whose response has not begun. If it is dropped before, because a time limit of middleware
/// before this has ended it, this says nothing about the upstream.
pub struct Flight {
    config: &'static Config,
    choice: Choice,
    is_finished: bool,
}

impl Flight {
    /// Chooses an upstream for a request with these headers.
    pub fn begin(
        config: &'static Config,
        headers: &HeaderMap,
    ) -> Option<(Self, &'static Upstream)> {
        let key = config.sticky.as_ref().and_then(|sticky| sticky.key(headers));
        let choice = with_balancer(config, |balancer| {
            balancer.choose(config, key, now(), |below| fastrand::usize(..below))
        });
        let upstream = config.upstreams.get(choice.index)?;
        Some((Self { config, choice, is_finished: false }, upstream))
    }

    /// The request has ended: the upstream has answered or failed, or the end says nothing about it.
    pub fn finish(mut self, failed: Option<bool>) {
        self.end(failed);
    }

    fn end(&mut self, failed: Option<bool>) {
        let (config, choice) = (self.config, self.choice);
        self.is_finished = true;
        let ejection =
            with_balancer(config, |balancer| balancer.finish(config, choice, failed, now()));
        if let (Some(ejection), Some(upstream)) = (ejection, config.upstreams.get(choice.index)) {
            let seconds = ejection.0.as_secs();
            report_change(&format!("upstream {upstream} gets no requests for {seconds} s"));
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.is_finished {
            self.end(None);
        }
    }
}

fn with_balancer<T>(config: &Config, change: impl FnOnce(&mut Balancer) -> T) -> T {
    BALANCER.with_borrow_mut(|own| change(own.get_or_insert_with(|| Balancer::new(config))))
}

fn now() -> Duration {
    Duration::from_millis(now_ms())
}
