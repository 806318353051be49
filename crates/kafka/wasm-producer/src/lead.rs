//! The work that one call does for all: sending the queued records of a broker, and requesting
//! metadata.

use std::time::Duration;

use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::InitProducerIdRequest;

use crate::ConnectError;
use crate::connection::Connection;
use crate::network::{Network, within};
use crate::producer::Producer;
use crate::sequence::ProducerId;
use crate::verdict::{is_refusal, words};
use crate::wire::Speak;

/// Maximum time for a broker's response to a metadata or producer id request.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

impl<N: Network> Producer<N> {
    /// Sends the queued records of a broker once, then lets the next call lead.
    pub(crate) async fn lead(&self, broker: i32) {
        let _turn = Turn { producer: self, broker };
        if let Err(error) = self.round(broker).await {
            self.state.borrow_mut().lost(broker, &error, &self.config);
        }
    }

    async fn round(&self, broker: i32) -> Result<(), ConnectError> {
        let mut connection = self.connection(broker).await?;
        let producer = self.producer_id(&mut connection).await?;
        let begun = {
            let now = self.network.now();
            self.state.borrow_mut().begin(broker, producer, now, &self.config)
        };
        if let Some(round) = begun {
            let answer = self.exchange(&mut connection, &round.request, round.limit).await?;
            self.state.borrow_mut().settle(&round, answer, &self.config);
        }
        // Not reached after an error, so a connection with an unanswered request is dropped.
        connection.rest(self.network.now());
        self.state.borrow_mut().lane(broker).connection = Some(connection);
        Ok(())
    }

    /// The idle connection to a broker, or a new one.
    async fn connection(&self, broker: i32) -> Result<Connection<N::Stream>, ConnectError> {
        let address = {
            let mut state = self.state.borrow_mut();
            state.close_idle(self.network.now(), self.config.idle_timeout);
            let address = state.cluster.brokers.get(&broker).cloned().ok_or_else(|| {
                ConnectError::Unreachable(format!("broker {broker} is not there any more"))
            })?;
            let resting = state.lane(broker).connection.take();
            match resting.filter(|connection| connection.address == address) {
                Some(connection) => return Ok(connection),
                None => address,
            }
        };
        Connection::open(&self.network, &address, &self.config).await
    }

    /// The producer id, with which brokers recognise batches that were sent before. Requests it on
    /// first use.
    async fn producer_id(
        &self,
        connection: &mut Connection<N::Stream>,
    ) -> Result<ProducerId, ConnectError> {
        if let Some(producer) = self.state.borrow().producer {
            return Ok(producer);
        }
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX);
        let answer = self.exchange(connection, &request, ANSWER_LIMIT).await?;
        match Code::try_from_code(answer.error_code) {
            None => {
                let given = ProducerId { id: answer.producer_id.0, epoch: answer.producer_epoch };
                // Another call may have got an id from another broker in between.
                Ok(*self.state.borrow_mut().producer.get_or_insert(given))
            }
            Some(code) if is_refusal(code) => Err(ConnectError::Refused(format!(
                "{} gives no producer id: {}",
                connection.address,
                words(answer.error_code)
            ))),
            Some(_) => Err(connection.broken(&words(answer.error_code))),
        }
    }

    /// Requests metadata from one broker, after a pause if the last attempt failed. If another call
    /// is doing so, waits for its end.
    pub(crate) async fn ask(&self) {
        if self.state.borrow().asking {
            let (wake, wait) = self.network.wake_up();
            self.state.borrow_mut().curious.push(wake);
            return wait.await;
        }
        let _asking = Asking::new(self);
        let pause = self.state.borrow().reach.pause();
        if !pause.is_zero() {
            self.network.sleep(pause).await;
        }
        if let Err(error) = self.question().await {
            let now = self.network.now();
            let mut state = self.state.borrow_mut();
            let brokers = state.cluster.addresses().len();
            state.reach.failed(error, brokers, now);
        }
    }

    async fn question(&self) -> Result<(), ConnectError> {
        let (address, resting) = {
            let mut state = self.state.borrow_mut();
            state.close_idle(self.network.now(), self.config.idle_timeout);
            let Some(address) = state.cluster.next_address() else { return Ok(()) };
            let resting = state.take(&address);
            (address, resting)
        };
        let mut connection = match resting {
            Some(connection) => connection,
            None => Connection::open(&self.network, &address, &self.config).await?,
        };
        let question = self.state.borrow().cluster.question();
        let answer = self.exchange(&mut connection, &question, ANSWER_LIMIT).await?;
        let now = self.network.now();
        connection.rest(now);
        let mut state = self.state.borrow_mut();
        state.reach.answered();
        state.cluster.learn(answer, now);
        // Counts as a failure, so that the next request comes after a pause.
        if state.cluster.is_incomplete() {
            state.reach.fault();
        }
        state.keep(connection);
        Ok(())
    }

    /// Sends a request and waits for its response, for at most `limit`.
    async fn exchange<R: Speak>(
        &self,
        connection: &mut Connection<N::Stream>,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, ConnectError> {
        let answer = within(&self.network, limit, connection.exchange(request)).await;
        answer.unwrap_or_else(|| {
            let text = format!("{}: no answer in {limit:?}", connection.address);
            Err(ConnectError::Unreachable(text))
        })
    }
}

/// The right of a call to send to a broker. When it is dropped, another call gets it.
struct Turn<'a, N: Network> {
    producer: &'a Producer<N>,
    broker: i32,
}

impl<N: Network> Drop for Turn<'_, N> {
    fn drop(&mut self) {
        self.producer.state.borrow_mut().pass_on(self.broker);
    }
}

/// The right of a call to request metadata. When it is dropped, all waiting calls are woken.
struct Asking<'a, N: Network>(&'a Producer<N>);

impl<'a, N: Network> Asking<'a, N> {
    fn new(producer: &'a Producer<N>) -> Self {
        producer.state.borrow_mut().asking = true;
        Self(producer)
    }
}

impl<N: Network> Drop for Asking<'_, N> {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        state.asking = false;
        state.curious.clear();
    }
}
