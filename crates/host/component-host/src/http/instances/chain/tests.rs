use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep};
use wasmtime_wasi_http::Error as HttpError;

use super::*;

/// What an interceptor of a test does after an event in an exchange; there is no event at its begin.
type Act = fn(u64, Option<Event>) -> Action;

/// When a handler of a test answers, and its response. It gets the number of its calls before.
type Handler = fn(usize) -> (Duration, WholeResponse);

enum Fake {
    Filter(fn() -> Decision),
    Interceptor(Act),
}

/// The result of a request that was forwarded, after a time.
type Server = fn() -> (Duration, Result<Response<WasiBody>, SendError>);

/// Middleware before a handler, or before an interceptor that forwards requests to a server.
struct Fakes {
    middleware: Vec<Fake>,
    handler: Handler,
    server: Option<Server>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Fakes {
    fn new(middleware: Vec<Fake>, handler: Handler) -> Self {
        Self { middleware, handler, server: None, log: Arc::default() }
    }

    fn forwarding(middleware: Vec<Fake>, server: Server) -> Self {
        Self { server: Some(server), ..Self::new(middleware, at_once) }
    }

    fn note(&self, text: String) -> usize {
        let mut log = self.log.lock().unwrap();
        log.push(text);
        log.len()
    }
}

impl Calls for Fakes {
    fn kind(&self, position: usize) -> Option<Kind> {
        self.middleware.get(position).map(|fake| match fake {
            Fake::Filter(_) => Kind::Filter,
            Fake::Interceptor(_) => Kind::Interceptor,
        })
    }

    fn is_forwarding(&self, position: usize) -> bool {
        self.server.is_some() && position + 1 == self.middleware.len()
    }

    async fn decide(&self, position: usize, _head: Head) -> wasmtime::Result<Decision> {
        self.note(format!("{position} decides"));
        let Fake::Filter(decide) = &self.middleware[position] else { panic!("another kind") };
        Ok(decide())
    }

    async fn begin(&self, position: usize, _head: Head) -> wasmtime::Result<Action> {
        self.note(format!("{position} begins"));
        let Fake::Interceptor(act) = &self.middleware[position] else { panic!("another kind") };
        Ok(act(0, None))
    }

    async fn resume(
        &self,
        position: usize,
        exchange: u64,
        event: Event,
    ) -> wasmtime::Result<Action> {
        self.note(match &event {
            Event::Response(head) => format!("{position} gets {}", head.status),
            Event::Failed(error) => format!("{position} gets the failure {error:?}"),
            Event::TimedOut => format!("{position} gets nothing"),
            Event::Body(body) => format!("{position} gets {} bytes", body.data.len()),
            Event::TooLong => format!("{position} gets no body"),
            Event::Answered => format!("{position} goes on"),
            Event::Cancelled => format!("{position} is cancelled"),
        });
        let Fake::Interceptor(act) = &self.middleware[position] else { panic!("another kind") };
        Ok(act(exchange, Some(event)))
    }

    async fn handle(&self, request: Request<WholeBody>) -> wasmtime::Result<WholeResponse> {
        let calls = {
            let log = self.log.lock().unwrap();
            log.iter().filter(|line| line.starts_with("the handler")).count()
        };
        let fields = request.headers();
        let mut fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        fields.sort_unstable();
        self.note(format!("the handler gets {}", fields.join(" ")));
        let (time, response) = (self.handler)(calls);
        sleep(time).await;
        Ok(response)
    }

    async fn forward(&self, request: Request<WholeBody>) -> Result<Response<WasiBody>, SendError> {
        let (uri, fields, body) = (request.uri(), request.headers(), &request.body().data);
        self.note(format!("{uri} gets {fields:?} and {} bytes", body.len()));
        let (time, result) = self.server.unwrap()();
        sleep(time).await;
        self.note("the server answers".into());
        result
    }

    fn report(&self, error: &wasmtime::Error) {
        self.note(format!("failed: {error:#}"));
    }
}

/// The time that the requests of the tests have.
const LIMIT: Duration = Duration::from_secs(30);

/// Longer than any other time.
const FOREVER: Duration = Duration::from_secs(3_600);

/// What happened to a request: the answer, whether it was in time, and when each of them was known.
struct Ended {
    answer: wasmtime::Result<Response<WasiBody>>,
    answered: Duration,
    in_time: bool,
    /// Whether calls hang.
    hangs: bool,
    ended: Duration,
    log: Vec<String>,
}

async fn send(fakes: Fakes) -> Ended {
    let log = fakes.log.clone();
    let body = WholeBody { data: Bytes::from_static(b"a body"), trailers: None };
    let mut request = Request::new(body);
    request.headers_mut().insert("a", "1".parse().unwrap());
    let (answer, answered) = oneshot::channel();
    let began = Instant::now();
    let running = tokio::spawn(run(fakes, request, answer, sleep(LIMIT)));
    let answer = answered.await.unwrap();
    let answered = began.elapsed();
    let super::Ended { in_time, hanging } = running.await.unwrap();
    let (ended, hangs) = (began.elapsed(), hanging.is_some());
    // The instance goes on with these calls. An hour later, the exchanges have ended.
    if let Some(hanging) = hanging {
        drop(tokio::time::timeout(FOREVER / 2, hanging).await);
    }
    let log = log.lock().unwrap().clone();
    Ended { answer, answered, in_time, hangs, ended, log }
}

/// The status, the header `x` and the body of an answer.
async fn seen(answer: wasmtime::Result<Response<WasiBody>>) -> (u16, String, String) {
    let answer = answer.unwrap();
    let (status, x) = (answer.status().as_u16(), answer.headers().get("x"));
    let x = x.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, x, String::from_utf8(body.to_vec()).unwrap())
}

fn response(status: u16, body: &str) -> WholeResponse {
    WholeResponse { status, headers: Vec::new(), body: body.into(), trailers: Vec::new() }
}

fn at_once(_calls: usize) -> (Duration, WholeResponse) {
    (Duration::ZERO, response(200, "handled"))
}

fn hangs(_calls: usize) -> (Duration, WholeResponse) {
    (FOREVER, response(200, "too late"))
}

fn sending(exchange: u64, insert: &str, timeout_ms: Option<u32>) -> Action {
    let (remove, insert) = (vec!["a".into()], insert.into());
    Action::Send(Sending { exchange, server: None, remove, insert, after_ms: 0, timeout_ms })
}

fn receiving(exchange: u64, bytes_max: u64) -> Receiving {
    Receiving { exchange, bytes_max }
}

fn early(response: WholeResponse) -> Action {
    Action::AnswerFirst(EarlyAnswer { exchange: 1, response })
}

/// Passes the request and its response on.
fn observe(_exchange: u64, event: Option<Event>) -> Action {
    match event {
        None => sending(1, "b: 2\r\n", None),
        Some(Event::Failed(error)) => Action::Fail(error.to_string()),
        Some(_) => Action::Pass(b"x: observer\r\n".to_vec()),
    }
}

#[tokio::test]
async fn middleware_is_called_in_order_and_the_outermost_has_the_last_word() {
    let filter = || {
        let (remove, insert) = (Vec::new(), b"c: 3\r\n".to_vec());
        let response = b"x: filter\r\n".to_vec();
        Decision::Pass(Changes { remove, insert, response })
    };
    let order = vec![Fake::Filter(filter), Fake::Interceptor(observe)];
    let ended = send(Fakes::new(order, at_once)).await;
    assert_eq!(seen(ended.answer).await, (200, "filter".into(), "handled".into()));
    assert!(ended.in_time);
    let handled = "the handler gets b=\"2\" c=\"3\"";
    assert_eq!(ended.log, ["0 decides", "1 begins", handled, "1 gets 200"]);
    let order = vec![Fake::Interceptor(observe), Fake::Filter(filter)];
    let ended = send(Fakes::new(order, at_once)).await;
    assert_eq!(seen(ended.answer).await.1, "observer");
    assert_eq!(ended.log, ["0 begins", "1 decides", handled, "0 gets 200"]);
}

#[tokio::test]
async fn a_request_is_sent_again_as_it_was() {
    let again = |exchange, event| match event {
        None => sending(1, "", None),
        Some(Event::Response(head)) if head.status == 503 => {
            sending(exchange + 1, &format!("attempt: {exchange}\r\n"), None)
        }
        Some(Event::Response(_)) => Action::ReceiveResponse(receiving(9, 7)),
        Some(Event::Body(body)) => {
            Action::Answer(response(201, &format!("{} bytes", body.data.len())))
        }
        Some(_) => Action::Finish,
    };
    let third = |calls| (Duration::ZERO, response(if calls < 2 { 503 } else { 200 }, "handled"));
    let order = vec![Fake::Interceptor(again), Fake::Interceptor(observe)];
    let ended = send(Fakes::new(order, third)).await;
    assert_eq!(seen(ended.answer).await, (201, String::new(), "7 bytes".into()));
    let handled: Vec<_> = ended.log.iter().filter(|line| line.starts_with("the handler")).collect();
    assert_eq!(
        handled,
        [
            "the handler gets b=\"2\"",
            "the handler gets attempt=\"1\" b=\"2\"",
            "the handler gets attempt=\"2\" b=\"2\"",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_after_an_answer() {
    let validate = |_, event| match event {
        None => early(response(200, "stale")),
        Some(Event::Answered) => sending(2, "", None),
        Some(_) => Action::Finish,
    };
    let slow = |_| (Duration::from_secs(5), response(200, "fresh"));
    let order = vec![Fake::Interceptor(observe), Fake::Interceptor(validate)];
    let ended = send(Fakes::new(order, slow)).await;
    assert_eq!(seen(ended.answer).await, (200, "observer".into(), "stale".into()));
    assert_eq!((ended.answered.as_secs(), ended.ended.as_secs(), ended.in_time), (0, 5, true));
    let observer = ended.log.iter().filter(|line| line.starts_with("0 gets"));
    assert_eq!(observer.collect::<Vec<_>>(), ["0 gets 200"], "{:?}", ended.log);
    assert_eq!(ended.log.last().unwrap(), "1 gets 200");
}

/// An interceptor with a time limit, which answers that there was no response.
fn limited(exchange: u64, event: Option<Event>) -> Action {
    match event {
        None => sending(1, "", Some(2_000)),
        Some(Event::TimedOut) => Action::Answer(response(504, "")),
        other => observe(exchange, other),
    }
}

/// Sends the request three times, with a limit and a pause.
fn repeat(exchange: u64, event: Option<Event>) -> Action {
    match event {
        Some(Event::TimedOut) if exchange < 3 => Action::Send(Sending {
            exchange: exchange + 1,
            server: None,
            remove: Vec::new(),
            insert: Vec::new(),
            after_ms: 1_000,
            timeout_ms: Some(2_000),
        }),
        other => limited(exchange, other),
    }
}

/// Other requests may wait for an exchange, so it ends with the time limit even if the handler does not.
#[tokio::test(start_paused = true)]
async fn exchanges_end_with_a_time_limit_of_middleware_before() {
    let order = vec![Fake::Interceptor(limited), Fake::Interceptor(observe)];
    let ended = send(Fakes::new(order, hangs)).await;
    assert_eq!(ended.answer.unwrap().status(), 504);
    assert_eq!((ended.answered.as_secs(), ended.ended.as_secs()), (2, 30));
    assert!(ended.in_time && ended.hangs);
    let mut last = ended.log[3..].to_vec();
    last.sort_unstable();
    assert_eq!(last, ["0 gets nothing", "1 is cancelled"], "{:?}", ended.log);
    // A handler that returns in the meantime is not interrupted.
    let order = vec![Fake::Interceptor(limited), Fake::Interceptor(observe)];
    let late = |_| (Duration::from_secs(4), response(99, ""));
    let ended = send(Fakes::new(order, late)).await;
    assert_eq!((ended.ended.as_secs(), ended.in_time, ended.hangs), (4, true, false));
    assert!(ended.log.last().unwrap().contains("an invalid status"), "{:?}", ended.log);
    // What is behind the limit sends nothing any more: not after a pause, and not after an answer.
    let order = vec![Fake::Interceptor(limited), Fake::Interceptor(repeat)];
    let ended = send(Fakes::new(order, hangs)).await;
    let sent = ended.log.iter().filter(|line| line.starts_with("the handler"));
    assert_eq!(sent.count(), 1, "{:?}", ended.log);
    let order = vec![Fake::Interceptor(repeat), Fake::Interceptor(observe)];
    let ended = send(Fakes::new(order, hangs)).await;
    assert_eq!((ended.answered.as_secs(), ended.ended.as_secs(), ended.hangs), (8, 30, true));
    let cancelled = ended.log.iter().filter(|line| *line == "1 is cancelled");
    assert_eq!(cancelled.count(), 3, "{:?}", ended.log);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_time_of_the_request() {
    let again = |exchange, event| match event {
        None => early(response(200, "first")),
        Some(Event::Answered) => sending(1, "", None),
        Some(_) => sending(exchange + 1, "", Some(20_000)),
    };
    let slow = |_| (Duration::from_secs(20), response(200, ""));
    let ended = send(Fakes::new(vec![Fake::Interceptor(again)], slow)).await;
    assert_eq!((ended.ended.as_secs(), ended.in_time, ended.hangs), (30, true, true));
    let sent = ended.log.iter().filter(|line| line.starts_with("the handler"));
    assert_eq!(sent.count(), 2, "{:?}", ended.log);
    assert_eq!(ended.log.last().unwrap(), "0 is cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_takes_its_time() {
    let ended = send(Fakes::new(vec![Fake::Interceptor(observe)], hangs)).await;
    assert!(ended.answer.unwrap_err().is::<ExpirationError>());
    assert_eq!((ended.answered.as_secs(), ended.ended.as_secs(), ended.in_time), (30, 30, false));
}

/// Fails if there is no valid response.
fn fail(event: Event) -> Action {
    match event {
        Event::Failed(error) => Action::Fail(error.to_string()),
        _ => Action::Finish,
    }
}

fn set_in_response(event: Option<Event>, fields: &str) -> Action {
    event.map_or_else(|| sending(1, "", None), |_| Action::Pass(fields.into()))
}

fn invalid_changes(event: Option<Event>) -> Action {
    event.map_or_else(|| sending(1, "connection: close\r\n", None), fail)
}

#[tokio::test]
async fn invalid_responses_and_actions_are_failures() {
    let failure = async |middleware: Vec<Fake>, handler: Handler| {
        let ended = send(Fakes::new(middleware, handler)).await;
        assert!(ended.in_time);
        format!("{:#}", ended.answer.unwrap_err())
    };
    let invalid = |_| (Duration::ZERO, response(99, ""));
    let text = failure(vec![Fake::Interceptor(observe)], invalid).await;
    assert!(text.contains("middleware has failed") && text.contains("an invalid status"), "{text}");
    let cases: [(Act, &str); 9] = [
        (|_, _| sending(1, "", None), "more than 100 actions"),
        (|_, event| invalid_changes(event), "connection"),
        (|_, event| event.map_or(Action::ReceiveResponse(receiving(1, 1)), fail), "there is none"),
        (|_, event| event.map_or_else(|| forwarding(1), fail), "must not name one"),
        (|_, _| Action::Pass(Vec::new()), "there is none"),
        (|_, _| Action::Finish, "there is none"),
        (|_, _| Action::Answer(response(99, "")), "an invalid status"),
        (|_, event| set_in_response(event, "content-length: 1\r\n"), "content-length"),
        (|_, event| set_in_response(event, &format!("b: {}\r\n", "x".repeat(131_070))), "128 KiB"),
    ];
    for (act, expected) in cases {
        let text = failure(vec![Fake::Interceptor(act)], at_once).await;
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // A second answer has no effect, and ends the exchange.
    let twice = |_, _| early(response(200, "first"));
    let ended = send(Fakes::new(vec![Fake::Interceptor(twice)], at_once)).await;
    assert_eq!(seen(ended.answer).await.2, "first");
    let failure = "failed: middleware answers a request twice";
    assert_eq!(ended.log, ["0 begins", "0 goes on", "0 is cancelled", failure]);
    // So does the limit of actions.
    let ended =
        send(Fakes::new(vec![Fake::Interceptor(|_, _| sending(1, "", None))], at_once)).await;
    assert_eq!(ended.log.last().unwrap(), "0 is cancelled");
}

/// Sends a request to a server.
fn forwarding(exchange: u64) -> Action {
    Action::Send(Sending {
        exchange,
        server: Some(crate::whole::Server {
            scheme: "http".into(),
            authority: "server:1".into(),
            path_with_query: "/b?c".into(),
        }),
        remove: vec!["a".into()],
        insert: b"b: 2\r\n".to_vec(),
        after_ms: 0,
        timeout_ms: Some(2_000),
    })
}

/// Forwards a request, and answers 502 or 504 without a response.
fn forward(_exchange: u64, event: Option<Event>) -> Action {
    match event {
        None => forwarding(1),
        Some(Event::Response(_)) => Action::Pass(Vec::new()),
        Some(Event::TimedOut) => Action::Answer(response(504, "")),
        Some(_) => Action::Answer(response(502, "")),
    }
}

/// A response whose body is a stream, with a field that concerns only the connection.
fn streams() -> (Duration, Result<Response<WasiBody>, SendError>) {
    let pieces = ["a ", "stream"].map(|piece| Ok(http_body::Frame::data(piece.into())));
    let body = http_body_util::StreamBody::new(futures::stream::iter(pieces)).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert("connection", "close".parse().unwrap());
    (Duration::ZERO, Ok(response))
}

#[tokio::test(start_paused = true)]
async fn requests_are_forwarded_to_servers() {
    let order = || vec![Fake::Interceptor(observe), Fake::Interceptor(forward)];
    let ended = send(Fakes::forwarding(order(), streams)).await;
    assert!(!ended.answer.as_ref().unwrap().headers().contains_key("connection"));
    assert_eq!(seen(ended.answer).await, (200, "observer".into(), "a stream".into()));
    let forwarded = r#"http://server:1/b?c gets {"b": "2"} and 6 bytes"#;
    let expected =
        ["0 begins", "1 begins", forwarded, "the server answers", "1 gets 200", "0 gets 200"];
    assert_eq!(ended.log, expected);
    // The component gets the reason of a failure.
    let refuses: Server = || (Duration::ZERO, Err(SendError::ConnectionRefused));
    let ended = send(Fakes::forwarding(order(), refuses)).await;
    assert_eq!(seen(ended.answer).await.0, 502);
    let reason = "1 gets the failure SendError::ConnectionRefused";
    assert!(ended.log.iter().any(|line| line == reason), "{:?}", ended.log);
    // A server would wait for the rest of a body that is shorter than announced.
    let lie: Act = |_, event| match event {
        None => sending(1, "content-length: 9\r\n", None),
        Some(_) => Action::Pass(Vec::new()),
    };
    let lying = vec![Fake::Interceptor(lie), Fake::Interceptor(forward)];
    let ended = send(Fakes::forwarding(lying, streams)).await;
    assert_eq!(seen(ended.answer).await.0, 502);
    assert!(ended.log.iter().any(|line| line.contains("InvalidRequest")), "{:?}", ended.log);
    assert!(!ended.log.iter().any(|line| line == "the server answers"), "{:?}", ended.log);
    // A request without a response in time is cancelled.
    let ended = send(Fakes::forwarding(order(), || (FOREVER, streams().1))).await;
    assert_eq!(seen(ended.answer).await.0, 504);
    assert_eq!((ended.answered.as_secs(), ended.ended.as_secs(), ended.hangs), (2, 2, false));
    assert!(!ended.log.iter().any(|line| line == "the server answers"), "{:?}", ended.log);
    // So is a request whose response is no longer needed.
    let patient = |exchange, event: Option<Event>| match forward(exchange, event) {
        Action::Send(sending) => Action::Send(Sending { timeout_ms: None, ..sending }),
        other => other,
    };
    let order = vec![Fake::Interceptor(limited), Fake::Interceptor(patient)];
    let ended = send(Fakes::forwarding(order, || (FOREVER, streams().1))).await;
    assert_eq!((ended.ended.as_secs(), ended.hangs), (2, false));
    assert!(ended.log.contains(&"1 is cancelled".into()), "{:?}", ended.log);
    // There is no handler behind it, so it must name a server.
    let ended = send(Fakes::forwarding(vec![Fake::Interceptor(observe)], streams)).await;
    let error = format!("{:#}", ended.answer.unwrap_err());
    assert!(error.contains("must name the server"), "{error}");
}

#[tokio::test]
async fn bodies_are_received_up_to_a_limit() {
    let receive = |exchange: u64, event| match (exchange, event) {
        (_, None) => Action::ReceiveRequest(receiving(1, 5)),
        (1, Some(Event::TooLong)) => Action::ReceiveRequest(receiving(2, 6)),
        (2, Some(Event::Body(body))) if body.data == b"a body" => sending(3, "", None),
        (3, Some(Event::Response(_))) => Action::ReceiveResponse(receiving(4, 7)),
        (4, Some(Event::TooLong)) => Action::ReceiveResponse(receiving(5, 8)),
        (5, Some(Event::Body(body))) if body.data == b"a stream" => Action::Pass(Vec::new()),
        (exchange, _) => Action::Fail(exchange.to_string()),
    };
    let order = vec![Fake::Interceptor(receive), Fake::Interceptor(forward)];
    let ended = send(Fakes::forwarding(order, streams)).await;
    assert_eq!(seen(ended.answer).await, (200, String::new(), "a stream".into()));
    // A body that ends early is a failure, and no response remains.
    let cut: Server = || {
        let frames = [Ok(http_body::Frame::data("a".into())), Err(HttpError::ConnectionTerminated)];
        let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
        (Duration::ZERO, Ok(Response::new(body.boxed_unsync())))
    };
    let receive = |_, event| match event {
        None => sending(1, "", None),
        Some(Event::Response(_)) => Action::ReceiveResponse(receiving(2, 9)),
        Some(Event::Failed(SendError::Interrupted)) => Action::Pass(Vec::new()),
        Some(_) => Action::Finish,
    };
    let order = vec![Fake::Interceptor(receive), Fake::Interceptor(forward)];
    let ended = send(Fakes::forwarding(order, cut)).await;
    assert!(format!("{:#}", ended.answer.unwrap_err()).contains("there is none"));
}
