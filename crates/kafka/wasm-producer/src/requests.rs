//! Requests that one call sends for all calls: the queued records of a broker, and metadata.

use std::time::Duration;

use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::InitProducerIdRequest;

use crate::ConnectError;
use crate::connect::connect;
use crate::connection::Connection;
use crate::network::{Network, within};
use crate::outcome::{error_text, is_refusal};
use crate::producer::Producer;
use crate::sequence::ProducerId;
use crate::wire::Request;

/// Maximum time for a broker's response to a metadata or producer id request.
const RESPONSE_LIMIT: Duration = Duration::from_secs(2);

impl<N: Network> Producer<N> {
    /// Sends the queued records of a broker once. After that another call becomes the sender.
    pub(crate) async fn send_queued(&self, broker: i32) {
        let _permit = SendPermit { producer: self, broker };
        if let Err(error) = self.exchange_batches(broker).await {
            self.state.borrow_mut().broker_failed(broker, &error, &self.config);
        }
    }

    async fn exchange_batches(&self, broker: i32) -> Result<(), ConnectError> {
        let mut connection = self.connection(broker).await?;
        let producer = self.producer_id(&mut connection).await?;
        let request = {
            let now = self.network.now();
            self.state.borrow_mut().build_request(broker, producer, now, &self.config)
        };
        if let Some(batches) = request {
            let response = self.exchange(&mut connection, &batches.request, batches.limit).await?;
            self.state.borrow_mut().apply_response(&batches, response, &self.config);
        }
        // Not reached after an error, so a connection with an unanswered request is dropped.
        connection.set_idle_since(self.network.now());
        self.state.borrow_mut().broker(broker).connection = Some(connection);
        Ok(())
    }

    /// The idle connection to a broker, or a new one.
    async fn connection(&self, broker: i32) -> Result<Connection<N::Stream>, ConnectError> {
        let address = {
            let mut state = self.state.borrow_mut();
            state.close_idle(self.network.now(), self.config.idle_timeout);
            let address = state.cluster.brokers.get(&broker).cloned().ok_or_else(|| {
                ConnectError::Unreachable(format!(
                    "broker {broker} is no longer part of the cluster"
                ))
            })?;
            let idle = state.broker(broker).connection.take();
            match idle.filter(|connection| connection.address == address) {
                Some(connection) => return Ok(connection),
                None => address,
            }
        };
        connect(&self.network, &address, &self.config).await
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
        let response = self.exchange(connection, &request, RESPONSE_LIMIT).await?;
        match Code::try_from_code(response.error_code) {
            None => {
                let assigned =
                    ProducerId { id: response.producer_id.0, epoch: response.producer_epoch };
                // Another call may have got an id from another broker in between.
                Ok(*self.state.borrow_mut().producer.get_or_insert(assigned))
            }
            Some(code) if is_refusal(code) => Err(ConnectError::Refused(format!(
                "{} assigns no producer id: {}",
                connection.address,
                error_text(response.error_code)
            ))),
            Some(_) => Err(connection.broken(&error_text(response.error_code))),
        }
    }

    /// Requests metadata from one broker, after a pause if the last attempt failed. If another call
    /// is doing so, waits for its end.
    pub(crate) async fn request_metadata(&self) {
        if self.state.borrow().requesting_metadata {
            let (wake, wait) = self.network.wake_up();
            self.state.borrow_mut().metadata_waiters.push(wake);
            return wait.await;
        }
        let _permit = MetadataPermit::new(self);
        let pause = self.state.borrow().reachability.pause();
        if !pause.is_zero() {
            self.network.sleep(pause).await;
        }
        if let Err(error) = self.exchange_metadata().await {
            let now = self.network.now();
            let mut state = self.state.borrow_mut();
            let brokers = state.cluster.addresses().len();
            state.reachability.failed(error, brokers, now);
        }
    }

    async fn exchange_metadata(&self) -> Result<(), ConnectError> {
        let (address, idle) = {
            let mut state = self.state.borrow_mut();
            state.close_idle(self.network.now(), self.config.idle_timeout);
            let Some(address) = state.cluster.next_address() else { return Ok(()) };
            let idle = state.take_connection(&address);
            (address, idle)
        };
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(&self.network, &address, &self.config).await?,
        };
        let request = self.state.borrow().cluster.metadata_request();
        let response = self.exchange(&mut connection, &request, RESPONSE_LIMIT).await?;
        let now = self.network.now();
        connection.set_idle_since(now);
        let mut state = self.state.borrow_mut();
        state.reachability.answered();
        state.cluster.apply_metadata(response, now);
        // Counts as a failure, so that the next request comes after a pause.
        if state.cluster.is_incomplete() {
            state.reachability.count_failure();
        }
        state.store_connection(connection);
        Ok(())
    }

    /// Sends a request and waits for its response, for at most `limit`.
    async fn exchange<R: Request>(
        &self,
        connection: &mut Connection<N::Stream>,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, ConnectError> {
        let response = within(&self.network, limit, connection.exchange(request)).await;
        response.unwrap_or_else(|| {
            let text = format!("{}: no answer in {limit:?}", connection.address);
            Err(ConnectError::Unreachable(text))
        })
    }
}

/// The permit of a call to send to a broker. When it is dropped, another call gets it.
struct SendPermit<'a, N: Network> {
    producer: &'a Producer<N>,
    broker: i32,
}

impl<N: Network> Drop for SendPermit<'_, N> {
    fn drop(&mut self) {
        self.producer.state.borrow_mut().choose_sender(self.broker);
    }
}

/// The permit of a call to request metadata. When it is dropped, all waiting calls are woken.
struct MetadataPermit<'a, N: Network>(&'a Producer<N>);

impl<'a, N: Network> MetadataPermit<'a, N> {
    fn new(producer: &'a Producer<N>) -> Self {
        producer.state.borrow_mut().requesting_metadata = true;
        Self(producer)
    }
}

impl<N: Network> Drop for MetadataPermit<'_, N> {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        state.requesting_metadata = false;
        state.metadata_waiters.clear();
    }
}
