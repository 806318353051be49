//! The server for the HTTP components: HTTP/1.1, and HTTP/2 with prior knowledge, on one port.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Request;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};

use super::body::RequestBody;
use super::serve::serve;
use super::services::Services;
use crate::{Error, Limits};

/// A listening server.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    services: Services,
    limits: Arc<Limits>,
}

impl Server {
    /// Opens the port. Connections wait in the kernel's queue until [`Server::run`] is called.
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

    /// The address. If port 0 was requested, it contains the port that the operating system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves. Then it accepts no more connections, and waits for the
    /// requests in progress, and for what instances do after their answers, until the time limit
    /// `drain`. Returns whether all requests finished.
    pub fn run(
        self,
        shutdown: BoxFuture<'static, ()>,
        drain: Duration,
    ) -> BoxFuture<'static, bool> {
        let services = self.services.clone();
        let handler = Arc::new(move |request: Request<RequestBody>, peer: SocketAddr| {
            let services = services.clone();
            async move { services.dispatch(request, peer).await }.boxed()
        });
        let refusals = self.services.unrouted();
        let deadline = Arc::new(OnceLock::new());
        let own = deadline.clone();
        let shutdown = shutdown.inspect(move |()| _ = own.set(Instant::now() + drain)).boxed();
        let serving = serve(self.listener, &self.limits, handler, refusals, shutdown, drain);
        async move {
            let drained = serving.await;
            if let Some(deadline) = deadline.get()
                && timeout_at(*deadline, self.services.finish()).await.is_err()
            {
                let instances = self.services.working();
                tracing::warn!(
                    instances,
                    "components still worked at the drain deadline; what they had not finished is lost"
                );
            }
            self.services.close();
            drained
        }
        .boxed()
    }
}
