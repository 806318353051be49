//! The hops that serve requests: the HTTP components on the path of a sale.

use metrics_text::Sample;
use serde::Serialize;

/// The components on the path of a sale, in its order. `pipeline` is the fused wiring.
const COMPONENTS: [&str; 4] = ["ingest", "bridge", "writer", "pipeline"];

/// Maximum number of refusals by component and problem.
const REFUSALS_MAX: usize = 32;

/// Maximum length of the name of a problem, in bytes.
const PROBLEM_BYTES_MAX: usize = 64;

/// Codes below this are successes.
const ERROR_CODES: u16 = 400;

/// A component that serves requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestHop {
    /// The id of the component.
    pub component: &'static str,
    /// Requests that were answered with success.
    pub accepted: u64,
    /// Requests that were answered with an error.
    pub refused: u64,
    /// Requests whose duration was measured.
    pub measured: u64,
    /// The sum of their durations in seconds. It includes the next hops.
    pub seconds: f64,
    /// Requests in progress.
    pub in_progress: u64,
    /// Requests that wait for an instance.
    pub waiting: u64,
    /// Instances of the component.
    pub instances: u64,
}

/// Requests that the host refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The id of the component.
    pub component: &'static str,
    /// The type of the problem, without the prefix that all types have.
    pub problem: String,
    /// Requests.
    pub requests: u64,
}

/// All hops that serve requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    hops: [Option<RequestHop>; COMPONENTS.len()],
    refusals: Vec<Refusal>,
}

impl Requests {
    /// Adds a metric whose name continues like this after `spin_http_`. Returns whether it is a
    /// metric of one of the hops.
    pub fn add(&mut self, name: &str, sample: &Sample<'_>) -> bool {
        let id = sample.label("component");
        let Some((component, hop)) = COMPONENTS.iter().zip(&mut self.hops).find(|(c, _)| **c == id)
        else {
            return false;
        };
        let hop = hop.get_or_insert_with(|| RequestHop::new(component));
        match name {
            "requests_total" => hop.add_answers(sample),
            "request_duration_seconds_count" => add(&mut hop.measured, sample),
            "request_duration_seconds_sum" => {
                // `max` ignores a value that is not a number. Infinity is not valid in JSON.
                hop.seconds = (hop.seconds + sample.value.max(0.0)).min(f64::MAX);
            }
            "requests_in_progress" => add(&mut hop.in_progress, sample),
            "requests_waiting" => add(&mut hop.waiting, sample),
            "instances" => add(&mut hop.instances, sample),
            "refusals_total" => self.add_refusal(component, sample),
            _ => {}
        }
        true
    }

    /// The hops in the order of the path, and the refusals by their number.
    pub fn finish(mut self) -> (Vec<RequestHop>, Vec<Refusal>) {
        self.refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.requests));
        (self.hops.into_iter().flatten().collect(), self.refusals)
    }

    fn add_refusal(&mut self, component: &'static str, sample: &Sample<'_>) {
        // The host has a metric for every problem, also for those that did not occur.
        if sample.count() == 0 {
            return;
        }
        let problem = sample.label("problem");
        let mut end = problem.len().min(PROBLEM_BYTES_MAX);
        while !problem.is_char_boundary(end) {
            end -= 1;
        }
        let problem = problem.get(..end).unwrap_or_default();
        let is_same = |r: &Refusal| r.component == component && r.problem == problem;
        if let Some(index) = self.refusals.iter().position(is_same)
            && let Some(refusal) = self.refusals.get_mut(index)
        {
            add(&mut refusal.requests, sample);
        } else if self.refusals.len() < REFUSALS_MAX {
            let requests = sample.count();
            self.refusals.push(Refusal { component, problem: problem.into(), requests });
        }
    }
}

impl RequestHop {
    fn new(component: &'static str) -> Self {
        Self {
            component,
            accepted: 0,
            refused: 0,
            measured: 0,
            seconds: 0.0,
            in_progress: 0,
            waiting: 0,
            instances: 0,
        }
    }

    fn add_answers(&mut self, sample: &Sample<'_>) {
        let is_error = sample.label("code").parse::<u16>().is_ok_and(|code| code >= ERROR_CODES);
        add(if is_error { &mut self.refused } else { &mut self.accepted }, sample);
    }
}

/// Adds a value, because every process reports its own.
pub(crate) fn add(total: &mut u64, sample: &Sample<'_>) {
    *total = total.saturating_add(sample.count());
}
