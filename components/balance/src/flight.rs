//! Requests in flight.

use http::HeaderMap;
use request_policies::balance::{Choice, Config, Upstream};

use crate::state::{report, with_balancer};

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
        let choice = with_balancer(config, |balancer, now| {
            balancer.choose(config, key, now, |below| fastrand::usize(..below))
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
        let change =
            with_balancer(config, |balancer, now| balancer.finish(config, choice, failed, now));
        report(config, choice, change, "its requests fail");
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.is_finished {
            self.end(None);
        }
    }
}
