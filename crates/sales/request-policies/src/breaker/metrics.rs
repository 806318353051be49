//! The state and the counts of a circuit, in the format of OpenMetrics.

use super::circuit::{Circuit, State};

impl Circuit {
    /// The metrics of this circuit.
    pub fn metrics(&self) -> String {
        let totals = &self.totals;
        let state = |state: State| u8::from(self.state() == state);
        let (closed, open) = (state(State::Closed), state(State::Open));
        let half_open = state(State::HalfOpen);
        format!(
            "# TYPE breaker_state stateset\n\
             # HELP breaker_state The state of the circuit.\n\
             breaker_state{{breaker_state=\"closed\"}} {closed}\n\
             breaker_state{{breaker_state=\"open\"}} {open}\n\
             breaker_state{{breaker_state=\"half-open\"}} {half_open}\n\
             # TYPE breaker_openings counter\n\
             # HELP breaker_openings How often the circuit was opened.\n\
             breaker_openings_total {}\n\
             # TYPE breaker_requests counter\n\
             # HELP breaker_requests Requests by what happened to them.\n\
             breaker_requests_total{{result=\"answered\"}} {}\n\
             breaker_requests_total{{result=\"server-error\"}} {}\n\
             breaker_requests_total{{result=\"network-error\"}} {}\n\
             breaker_requests_total{{result=\"abandoned\"}} {}\n\
             breaker_requests_total{{result=\"refused\"}} {}\n\
             # EOF\n",
            totals.openings,
            totals.answered,
            totals.server_errors,
            totals.network_errors,
            totals.abandoned,
            totals.refused,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_can_be_read() {
        let text = Circuit::default().metrics();
        let samples = metrics_text::lines(&text)
            .map(|line| (line.name.to_owned(), line.sample().unwrap().value))
            .collect::<Vec<_>>();
        assert_eq!(samples.len(), 9);
        assert_eq!(samples[0], ("breaker_state".into(), 1.0));
        assert_eq!(samples.iter().map(|(_, value)| value).sum::<f64>(), 1.0);
        assert!(text.ends_with("# EOF\n"));
    }
}
