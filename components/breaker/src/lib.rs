//! HTTP middleware: refuses requests for a while if the component behind fails or is slow.

mod settings;

use std::cell::RefCell;
use std::time::Duration;

use guest_http::{Answer, End, Intercepted, Outcome};
use guest_http::{answer, is_server_failure, problem, report_change, timed_out};
use guest_tasks::now_ms;
use http::{HeaderValue, Method, StatusCode, header};
use intake::Problem;
use request_policies::TIMEOUT_MAX;
use request_policies::breaker::{Admission, Circuit, Config, Refusal, Sample, State, Ticket};
use spin_sdk::wasip3::http::types::ErrorCode;

guest_http::interceptor!(handle);

thread_local! {
    static CIRCUIT: RefCell<Circuit> = RefCell::default();
}

async fn handle(request: Intercepted) -> Result<Outcome, ErrorCode> {
    let config = match settings::current().await {
        Ok(config) => config,
        Err(fault) => return Ok(problem(&fault).into()),
    };
    if is_for_status(&request, config) {
        return Ok(status(request.head()?.method()).into());
    }
    match with_circuit(|circuit| circuit.admit(config, now())) {
        Admission::Refuse(refusal) => Ok(refuse(refusal).into()),
        Admission::Pass(ticket) => pass(request, config, ticket).await,
    }
}

async fn pass(
    request: Intercepted,
    config: &'static Config,
    ticket: Ticket,
) -> Result<Outcome, ErrorCode> {
    let flight = Flight { config, ticket, sample: None };
    let exchange = request.observe(config.timeout, TIMEOUT_MAX).await?;
    let status = match &exchange.end {
        End::Answered(response) => response.status(),
        End::Failed(error) if is_server_failure(error) => StatusCode::BAD_GATEWAY.as_u16(),
        End::Failed(_) | End::NotReceived(_) => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
        End::TimedOut => StatusCode::GATEWAY_TIMEOUT.as_u16(),
    };
    flight.finish(exchange.time.map(|latency| Sample { status, latency }));
    match exchange.end {
        End::Answered(response) => Ok(response.into()),
        End::Failed(error) => Err(error),
        End::TimedOut => Ok(problem(&timed_out()).into()),
        End::NotReceived(fault) => Ok(problem(&fault).into()),
    }
}

/// A request in progress. If it is dropped before its end, because a time limit of middleware before
/// this has ended it, this says nothing about the component behind.
struct Flight {
    config: &'static Config,
    ticket: Ticket,
    sample: Option<Sample>,
}

impl Flight {
    fn finish(mut self, sample: Option<Sample>) {
        self.sample = sample;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let (config, sample) = (self.config, self.sample.as_ref());
        with_circuit(|circuit| circuit.finish(config, &self.ticket, sample, now()));
    }
}

/// Logs a change of the state.
fn with_circuit<T>(change: impl FnOnce(&mut Circuit) -> T) -> T {
    let (result, before, after) = CIRCUIT.with_borrow_mut(|circuit| {
        let before = circuit.state();
        (change(circuit), before, circuit.state())
    });
    match after {
        _ if before == after => {}
        State::Open => report_change("the circuit is open: requests are refused"),
        State::HalfOpen => report_change("the circuit is half open: a few requests are tried"),
        State::Closed => report_change("the circuit is closed again"),
    }
    result
}

fn is_for_status(request: &Intercepted, config: &Config) -> bool {
    let Some(status_path) = &config.status_path else { return false };
    request.path_with_query().split('?').next() == Some(status_path)
}

/// The metrics of this instance.
fn status(method: &Method) -> Answer {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match *method {
        // The host drops the body of an answer to `HEAD`.
        Method::GET | Method::HEAD => {
            answer(StatusCode::OK, content_type, CIRCUIT.with_borrow(Circuit::metrics))
        }
        _ => {
            let kind = "urn:doorbuster:problem:method";
            let detail = "the state can only be read";
            let mut answer = problem(&Problem::new(kind, StatusCode::METHOD_NOT_ALLOWED, detail));
            let allowed = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(header::ALLOW, allowed);
            answer
        }
    }
}

fn refuse(refusal: Refusal) -> Answer {
    let seconds = refusal.retry_after_s;
    let detail = format!("the service fails or is slow at the moment; retry after {seconds} s");
    let kind = "urn:doorbuster:problem:circuit-open";
    let mut answer = problem(&Problem::new(kind, StatusCode::SERVICE_UNAVAILABLE, detail));
    answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    answer
}

fn now() -> Duration {
    Duration::from_millis(now_ms())
}
