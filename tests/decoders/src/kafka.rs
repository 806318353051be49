//! A Kafka producer whose brokers send arbitrary responses.
//!
//! Input: a byte with the producer's settings, then the responses. Each has two bytes with its
//! length, then what follows the correlation id; if the highest bit of the length is set, the bytes
//! are sent unchanged.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use futures::task::noop_waker_ref;
use wasm_producer::{
    Address, Compression, Config, ConnectError, Delivery, Mechanism, Network, OutgoingRecord,
    ProduceError, Producer, Sasl, Stream,
};

use crate::lines;

/// Maximum number of polls of a call; one that makes progress needs less.
const POLLS_MAX: usize = 100_000;
/// Maximum number of requests of a call while no broker answers.
const REQUESTS_MAX: usize = 2_000;
/// Maximum duration of a call: the delivery timeout, and some time more.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Maximum number of digits of SCRAM's iteration count. Larger counts would take too long.
const ITERATION_DIGITS_MAX: usize = 3;

const MECHANISMS: [Option<Mechanism>; 4] =
    [None, Some(Mechanism::Plain), Some(Mechanism::ScramSha256), Some(Mechanism::ScramSha512)];
const COMPRESSIONS: [Compression; 4] =
    [Compression::None, Compression::Lz4, Compression::Snappy, Compression::None];

/// Checks an input.
pub fn check(mut bytes: &[u8]) {
    let settings = usize::from(lines::byte(&mut bytes));
    if has_many_iterations(bytes) {
        return;
    }
    let sasl = MECHANISMS[settings & 3].map(|mechanism| Sasl {
        mechanism,
        username: "user".into(),
        password: "pencil".into(),
    });
    let compression = COMPRESSIONS[settings >> 2 & 3];
    let records = records(1 + (settings >> 4 & 3));
    let count = records.len();
    let brokers = Rc::new(Brokers { answers: RefCell::new(bytes.to_vec()), ..Default::default() });
    let config = Config { sasl, compression, ..Config::new("kafka:9092") };
    let producer = Producer::new(config, Net(brokers.clone())).expect("a valid bootstrap list");
    let sent = finish(producer.send(records));
    assert!(brokers.now.get() <= TIME_MAX, "it took {:?}", brokers.now.get());
    let requests = brokers.requests.get();
    assert!(requests <= REQUESTS_MAX + bytes.len(), "{requests} requests");
    check_deliveries(sent, count);
}

fn check_deliveries(sent: Result<Vec<Delivery>, ProduceError>, count: usize) {
    let Ok(deliveries) = sent else { return };
    assert_eq!(deliveries.len(), count);
    assert!(
        deliveries.iter().all(|it| it.partition >= 0 && it.offset.is_none_or(|offset| offset >= 0)),
        "{deliveries:?}"
    );
}

/// Records with and without a key.
fn records(count: usize) -> Vec<OutgoingRecord> {
    let record = |number: usize| OutgoingRecord {
        topic: "t".into(),
        key: number.is_multiple_of(2).then(|| vec![b'a' + number as u8]),
        value: Some(b"value value value value value value".to_vec()),
        ..OutgoingRecord::default()
    };
    (0..count).map(record).collect()
}

fn has_many_iterations(bytes: &[u8]) -> bool {
    let digits = |after: &[u8]| after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let starts = bytes.windows(2).enumerate().filter(|(_, pair)| *pair == b"i=");
    starts.into_iter().any(|(at, _)| digits(&bytes[at + 2..]) > ITERATION_DIGITS_MAX)
}

/// Polls the call until it has ended. No waker is needed: what is pending is ready at the next
/// poll, unless the call waits for something that never happens.
fn finish<T>(call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    let mut context = Context::from_waker(noop_waker_ref());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(value) = call.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("the call does not end");
}

/// All brokers together.
#[derive(Default)]
struct Brokers {
    answers: RefCell<Vec<u8>>,
    taken: Cell<usize>,
    now: Cell<Duration>,
    random: Cell<u64>,
    requests: Cell<usize>,
}

impl Brokers {
    /// The next response as a frame; None if there are no more.
    fn answer(&self, correlation: [u8; 4]) -> Option<Vec<u8>> {
        let (answers, at) = (self.answers.borrow(), self.taken.get());
        let mut rest = answers.get(at..)?;
        let length =
            usize::from(u16::from_be_bytes([lines::byte(&mut rest), lines::byte(&mut rest)]));
        let (is_raw, length) = (length & 0x8000 != 0, (length & 0x7fff).min(rest.len()));
        self.taken.set(at + 2 + length);
        let body = rest.get(..length)?;
        let frame = match is_raw {
            true => body.to_vec(),
            false => [&(4 + length as i32).to_be_bytes(), &correlation, body].concat(),
        };
        Some(frame).filter(|frame| !frame.is_empty())
    }
}

struct Net(Rc<Brokers>);

impl Network for Net {
    type Stream = Connection;
    type Wake = oneshot::Sender<()>;

    fn wake_up(&self) -> (Self::Wake, impl Future<Output = ()>) {
        let (wake, wait) = oneshot::channel();
        (wake, async { wait.await.unwrap_or(()) })
    }

    async fn connect(&self, _: &Address) -> Result<Connection, ConnectError> {
        Ok(Connection { brokers: self.0.clone(), correlation: [0; 4] })
    }

    async fn sleep(&self, time: Duration) {
        let until = self.now() + time;
        let mut polled = false;
        std::future::poll_fn(|_| match std::mem::replace(&mut polled, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        self.0.now.set(until.max(self.now()));
    }

    fn now(&self) -> Duration {
        self.0.now.get()
    }

    fn unix_ms(&self) -> i64 {
        1_700_000_000_000 + self.now().as_millis() as i64
    }

    fn random(&self) -> u64 {
        self.0.random.replace(self.0.random.get() + 1)
    }
}

struct Connection {
    brokers: Rc<Brokers>,
    correlation: [u8; 4],
}

impl Stream for Connection {
    async fn write(&mut self, request: Vec<u8>) -> Result<(), String> {
        self.brokers.requests.set(self.brokers.requests.get() + 1);
        self.correlation = request[8..12].try_into().expect("four bytes");
        let length = i32::from_be_bytes(request[..4].try_into().expect("four bytes"));
        assert_eq!(length as usize, request.len() - 4);
        Ok(())
    }

    async fn read(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let answer = self.brokers.answer(self.correlation);
        bytes.extend(answer.ok_or("the broker closed the connection")?);
        Ok(())
    }
}
