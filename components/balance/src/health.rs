//! Health checks. A component runs only while it handles requests, so these start them.

use guest_http::{FullBody, Outline, is_server_failure};
use guest_tasks::within;
use request_policies::balance::{Choice, Config, HealthChecks, Upstream};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, HeaderError, Method};

use crate::state::{report, with_balancer};

/// Starts the checks that are due. The request does not wait for them, and they may end after it.
pub fn start_checks(config: &'static Config) {
    let Some(checks) = &config.health else { return };
    for choice in with_balancer(config, |balancer, now| balancer.begin_checks(config, now)) {
        let check = Check { config, choice, is_finished: false };
        spin_sdk::wit_bindgen::spawn(check.run(checks));
    }
}

/// A check in progress. If it is dropped, because the request that has started it was cancelled, this
/// says nothing about the upstream.
struct Check {
    config: &'static Config,
    choice: Choice,
    is_finished: bool,
}

impl Check {
    async fn run(mut self, checks: &HealthChecks) {
        let index = self.choice.index;
        let (upstream, target) = (self.config.upstreams.get(index), checks.targets.get(index));
        let (Some(upstream), Some(target)) = (upstream, target) else { return };
        let (is_healthy, text) = match within(checks.timeout, send(upstream, target)).await {
            Some(Ok(status)) => (Some(checks.is_healthy(status)), format!("status {status}")),
            Some(Err(error)) => (is_server_failure(&error).then_some(false), error.to_string()),
            None => (Some(false), "no answer in time".into()),
        };
        self.end(is_healthy, &text);
    }

    fn end(&mut self, is_healthy: Option<bool>, text: &str) {
        let (config, choice) = (self.config, self.choice);
        self.is_finished = true;
        let change = with_balancer(config, |balancer, now| {
            balancer.finish_check(config, choice, is_healthy, now)
        });
        report(config, choice, change, &format!("health check: {text}"));
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        if !self.is_finished {
            self.end(None, "");
        }
    }
}

/// The status of the answer. Its body is not read.
async fn send(upstream: &Upstream, target: &str) -> Result<u16, ErrorCode> {
    let refused = |error: HeaderError| ErrorCode::InternalError(Some(error.to_string()));
    let fields = Fields::new();
    fields.append("user-agent", b"doorbuster-balance").map_err(refused)?;
    let outline = Outline {
        method: Method::Get,
        scheme: Some((&upstream.scheme).into()),
        authority: Some(upstream.authority.to_string()),
        path_with_query: Some(target.to_owned()),
        fields,
        options: None,
    };
    let response = client::send(outline.with_body(&FullBody::default())?).await?;
    Ok(response.get_status_code())
}
