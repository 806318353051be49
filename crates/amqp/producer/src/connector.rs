//! Keeps one connection to the broker open.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqp_client::{Address, ConnectError};
use futures::StreamExt as _;
use kafka_record::Metrics;
use lapin::Connection;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// The name in the broker's list of connections.
const NAME: &str = "doorbuster producer";
/// The first pause before the next attempt to connect. Each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, and therefore the time until a broker that is available again is noticed.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often the state of the connection is read, in addition to its events.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The connection, or why there is none.
type State = Result<Arc<Connection>, ConnectError>;

/// Connects when it is used for the first time, and again whenever the connection is lost.
pub(crate) struct Connector {
    address: Address,
    metrics: Arc<Metrics>,
    state: watch::Sender<State>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Connector {
    pub fn new(address: Address, metrics: Arc<Metrics>) -> Self {
        let reason = "the first attempt has not ended yet".into();
        let state = watch::Sender::new(Err(ConnectError { reason, is_refused: false }));
        Self { address, metrics, state, task: Mutex::default() }
    }

    /// The current connection, or why there is none.
    pub fn current(&self) -> State {
        self.start();
        self.state.borrow().clone()
    }

    /// Waits for a connection, up to `limit`. Fails sooner if the broker refuses the client.
    pub async fn connection(&self, limit: Duration) -> State {
        self.start();
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| match state {
            Ok(connection) => connection.status().connected(),
            Err(error) => error.is_refused,
        });
        match timeout(limit, settled).await {
            Ok(Ok(settled)) => settled.clone(),
            // The sender lives as long as this.
            Ok(Err(_)) | Err(_) => match self.current() {
                Ok(_) => Err(lost()),
                Err(error) => Err(error),
            },
        }
    }

    /// Begins to connect, unless it has begun. Must be called within a tokio runtime.
    fn start(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.get_or_insert_with(|| {
            let (address, metrics) = (self.address.clone(), self.metrics.clone());
            AbortOnDropHandle::new(tokio::spawn(connect(address, metrics, self.state.clone())))
        });
    }
}

/// Connects without an end.
async fn connect(address: Address, metrics: Arc<Metrics>, state: watch::Sender<State>) {
    let broker = address.public();
    let mut pause = PAUSE;
    loop {
        let error = match address.connect(NAME).await {
            Ok(connection) => {
                tracing::info!(broker, "the producer is connected");
                pause = PAUSE;
                state.send_modify(|state| *state = Ok(connection.clone()));
                until_lost(&connection).await;
                metrics.replaced.inc();
                lost()
            }
            Err(error) => error,
        };
        let pause_ms = pause.as_millis();
        tracing::warn!(broker, %error, pause_ms, "the producer is not connected; trying again");
        state.send_modify(|state| *state = Err(error));
        sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
    }
}

fn lost() -> ConnectError {
    ConnectError { reason: "the connection was lost".into(), is_refused: false }
}

async fn until_lost(connection: &Connection) {
    let mut events = connection.events_listener();
    while connection.status().connected() {
        // An event or the interval: both lead to the check.
        let _ = timeout(CHECK_INTERVAL, events.next()).await;
    }
}
