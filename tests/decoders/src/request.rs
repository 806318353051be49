//! Requests: the head, and the body as one sale, as several sales, and as problem details of the
//! next hop. The head is also checked as that of the next hop's response.
//!
//! Input: the method, a line for each header, an empty line, the body.

use http::{HeaderMap, Method, StatusCode};
use intake::hop_times::{self, HOPS_MAX, HopTime};
use intake::request::{self, BODY_BYTES_MAX, Context, IDEMPOTENCY_KEY, TRACEPARENT};
use intake::{ITEMS_MAX, IntakeError, Problem, Results, many};
use sale::{Sale, Violation};

use crate::{lines, sales};

const MEDIA_TYPES: [&str; 2] = ["application/json", "application/x-ndjson"];

/// Maximum size of the response to an invalid sale.
const PROBLEM_BYTES_MAX: usize = 4 << 10;

/// Checks an input.
pub fn check(mut bytes: &[u8]) {
    let head = lines::block(&mut bytes);
    check_head(&head);
    check_one(bytes);
    check_many(bytes);
    check_answer(bytes);
}

fn check_head(head: &[&[u8]]) {
    let (method, headers) = lines::head(head);
    check_hop_times(&headers);
    match request::check(&method, &headers, &MEDIA_TYPES, BODY_BYTES_MAX) {
        Ok(context) => {
            assert_eq!(method, Method::POST);
            assert_eq!(request::context(&headers).as_ref(), Ok(&context));
            check_context(context);
        }
        Err(problem) => check_problem(&problem),
    }
}

/// Checks that the next hop accepts the context unchanged, also for one of several sales.
fn check_context(context: Context) {
    assert_eq!(request::context(&headers(&context)).as_ref(), Ok(&context));
    let Ok(many) = context.check_many_key() else { return };
    for item in [0, ITEMS_MAX - 1].map(|index| many.for_item(index)) {
        assert_eq!(request::context(&headers(&item)).as_ref(), Ok(&item));
    }
}

/// Checks that the next hop reads as many times, of the same hops.
fn check_hop_times(headers: &HeaderMap) {
    let times = hop_times::read(headers);
    assert!(times.len() <= HOPS_MAX);
    let mut sent = HeaderMap::new();
    hop_times::insert(&mut sent, &times);
    let received = hop_times::read(&sent);
    let hops = |times: &[HopTime]| times.iter().map(|time| time.hop.clone()).collect::<Vec<_>>();
    assert_eq!(hops(&received), hops(&times));
}

fn headers(context: &Context) -> HeaderMap {
    let Context { idempotency_key, traceparent } = context;
    let fields = [(IDEMPOTENCY_KEY, idempotency_key), (TRACEPARENT, traceparent)];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn check_one(body: &[u8]) {
    let taken = Sale::from_request_json(body);
    let record = Sale::from_record_json(body);
    for result in [&taken, &record] {
        match result {
            Ok(sale) => sales::check(sale),
            Err(violation) => check_violation(violation),
        }
    }
    if taken.is_ok() {
        assert_eq!(taken, record);
    }
}

fn check_many(body: &[u8]) {
    for lines in [false, true] {
        let items = match many::split(body, lines) {
            Ok(items) => items,
            Err(violation) => {
                check_violation(&violation);
                continue;
            }
        };
        let count = items.len();
        assert!((1..=ITEMS_MAX).contains(&count));
        let items: Vec<_> = items.into_iter().map(Sale::from_request_json).collect();
        for item in &items {
            match item {
                Ok(sale) => sales::check(sale),
                Err(violation) => check_violation(violation),
            }
        }
        let results = items.into_iter().map(|item| item.map(drop).map_err(IntakeError::from));
        let results = Results(results.collect());
        let answer = results.to_json(&serde_json::json!({}));
        assert!(answer.len() <= 100 + count * PROBLEM_BYTES_MAX);
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["results"].as_array().unwrap().len(), count);
    }
}

fn check_violation(violation: &Violation) {
    check_problem(&Problem::from(violation.clone()));
}

/// Checks that a problem for a client has a client error status, and is short.
fn check_problem(problem: &Problem) {
    assert!(problem.status().is_client_error(), "{problem:?}");
    let json = problem.to_json();
    assert!(json.len() <= PROBLEM_BYTES_MAX, "{} bytes: {problem:?}", json.len());
    assert_eq!(serde_json::from_slice::<Problem>(&json).unwrap(), *problem);
}

/// Checks that the error for a response of the next hop is determined by the status, and that texts
/// that are only for the log are not sent to the client.
fn check_answer(body: &[u8]) {
    for status in [200_u16, 400, 422, 429, 500, 503, 504] {
        let status = StatusCode::from_u16(status).unwrap();
        let error = Problem::to_error(status, body);
        let problem = Problem::from(error.clone());
        let again = Problem::to_error(problem.status(), &problem.to_json());
        assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&error));
        assert_eq!(again.for_client(), error.for_client());
    }
}
