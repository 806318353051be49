//! Requests in flight.

use std::cell::RefCell;
use std::time::Duration;

use guest_http::report_change;
use guest_tasks::now_ms;
use http::HeaderMap;
use request_policies::balance::{Balancer, Config, Upstream};

thread_local! {
    static BALANCER: RefCell<Option<Balancer>> = const { RefCell::new(None) };
}

/// A request whose response has not begun. If it is dropped before, for example because the client
/// has disconnected, this says nothing about the upstream.
pub struct Flight {
    config: &'static Config,
    index: usize,
    is_finished: bool,
}

impl Flight {
    /// Chooses an upstream for a request with these headers.
    pub fn begin(
        config: &'static Config,
        headers: &HeaderMap,
    ) -> Option<(Self, &'static Upstream)> {
        let key = config.sticky.as_ref().and_then(|sticky| sticky.key(headers));
        let index = with_balancer(config, |balancer| {
            balancer.choose(config, key, now(), |below| fastrand::usize(..below))
        });
        let upstream = config.upstreams.get(index)?;
        Some((Self { config, index, is_finished: false }, upstream))
    }

    /// The upstream has answered, or failed.
    pub fn finish(mut self, failed: bool) {
        self.end(Some(failed));
    }

    fn end(&mut self, failed: Option<bool>) {
        let (config, index) = (self.config, self.index);
        self.is_finished = true;
        let ejection =
            with_balancer(config, |balancer| balancer.finish(config, index, failed, now()));
        if let (Some(ejection), Some(upstream)) = (ejection, config.upstreams.get(index)) {
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
