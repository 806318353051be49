//! The server in front of the HTTP components: HTTP/1.1 and HTTP/2 with prior knowledge on
//! one port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::WasiBody;

use super::body::Whole;
use super::problem::{Problem, text};
use super::services::Services;
use crate::{Error, Limits};

/// The path that answers `OK` while the process lives, as in Spin.
const HEALTH_PATH: &str = "/.well-known/spin/health";

/// Pause after the system refuses a connection, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening server.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    services: Services,
    limits: Arc<Limits>,
}

impl Server {
    /// Opens the port. Requests wait in the kernel's queue until [`Server::run`].
    pub async fn bind(
        address: SocketAddr,
        services: Services,
        limits: Arc<Limits>,
    ) -> Result<Self, Error> {
        let fault = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok(Self { listener, address, services, limits })
    }

    /// The address, with the port the system chose if it was asked for any.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then takes no more connections and gives the requests under way
    /// until `drain` to end. Answers whether all did. Boxed: a caller's crate would otherwise
    /// compile the HTTP server once more.
    pub fn run(
        self,
        shutdown: BoxFuture<'static, ()>,
        drain: Duration,
    ) -> BoxFuture<'static, bool> {
        self.serve(shutdown, drain).boxed()
    }

    async fn serve(self, mut shutdown: BoxFuture<'static, ()>, drain: Duration) -> bool {
        let connections = Arc::new(Semaphore::new(self.limits.connections_max));
        let graceful = GracefulShutdown::new();
        let http = self.protocol();
        loop {
            let (stream, permit) = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.accept(&connections) => match accepted {
                    Some(accepted) => accepted,
                    None => continue,
                },
            };
            let services = self.services.clone();
            let service = service_fn(move |request| {
                let services = services.clone();
                async move { Ok::<_, Infallible>(dispatch(&services, request.map(Whole::new)).await) }
            });
            let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error, "connection ended");
                }
                drop(permit);
            });
        }
        drop(self.listener);
        let drained = tokio::time::timeout(drain, graceful.shutdown()).await.is_ok();
        self.services.close();
        drained
    }

    async fn accept(
        &self,
        connections: &Arc<Semaphore>,
    ) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = connections.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _peer)) => {
                // Head and body of an answer may leave in two writes; do not let the second
                // wait for the client's delayed acknowledgement.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                Some((stream, permit))
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }

    fn protocol(&self) -> auto::Builder<TokioExecutor> {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(self.limits.head_bytes_max.max(MIN_BUFFER_BYTES));
        http.http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(self.limits.head_bytes_max).unwrap_or(u32::MAX));
        http
    }
}

/// hyper's own lower bound for a connection's buffer.
const MIN_BUFFER_BYTES: usize = 8_192;

async fn dispatch(services: &Services, request: Request<Whole<Incoming>>) -> Response<WasiBody> {
    let path = request.uri().path();
    if path == HEALTH_PATH {
        return text(StatusCode::OK, "text/plain", "OK".into());
    }
    match services.route(path) {
        Some(service) => service.call(request).await,
        None => Problem::NotFound.response(),
    }
}
