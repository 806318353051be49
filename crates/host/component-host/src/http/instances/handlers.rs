//! The HTTP handlers that a component exports.

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use http::header::ACCEPT;
use tokio::time::Sleep;
use wasmtime::component::{Accessor, Func, InstancePre};
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::handler::{Prepared, Proxy, Response};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p3::bindings::ServiceIndices;

use super::chain::Ended;
use super::pool::InstanceRequest;
use super::whole::{self, Started};
use crate::Error;
use crate::guest::Guest;
use crate::state::GuestState;

/// Where a component exports its handlers.
pub(super) struct HandlersPre {
    pre: InstancePre<GuestState>,
    streamed: Version,
    whole: Option<whole::Export>,
}

/// The version of `wasi:http`.
enum Version {
    P2(ProxyIndices),
    P3(ServiceIndices),
}

/// The handlers of one instance.
pub(super) struct Handlers {
    /// For any request.
    streamed: Proxy,
    /// For complete requests.
    whole: Option<whole::Functions>,
}

impl HandlersPre {
    /// Fails if the component exports no HTTP handler of WASI 0.2 or 0.3.
    pub fn new(guest: &Guest) -> Result<Self, Error> {
        let pre = guest.pre().clone();
        let streamed = match (ServiceIndices::new(&pre), ProxyIndices::new(&pre)) {
            (Ok(indices), _) => Version::P3(indices),
            (Err(_), Ok(indices)) => Version::P2(indices),
            (Err(_), Err(_)) => {
                return Err(Error::Guest {
                    component: guest.id().into(),
                    message: "it has an HTTP trigger but exports neither wasi:http/handler@0.3 \
                              nor wasi:http/incoming-handler@0.2"
                        .into(),
                });
            }
        };
        let whole = whole::Export::find(pre.component())
            .map_err(|message| Error::Guest { component: guest.id().into(), message })?;
        Ok(Self { pre, streamed, whole })
    }

    /// Whether an instance serves a single request, as one with a handler of WASI 0.2 does.
    pub fn serve_one_request(&self) -> bool {
        matches!(self.streamed, Version::P2(_))
    }

    /// Creates an instance.
    pub async fn instantiate(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Handlers> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let streamed = match &self.streamed {
            Version::P2(indices) => Proxy::P2(indices.load(&mut *store, &instance)?),
            Version::P3(indices) => Proxy::P3(indices.load(&mut *store, &instance)?),
        };
        let whole = self.whole.as_ref().map(|export| export.load(store, &instance)).transpose()?;
        Ok(Handlers { streamed, whole })
    }
}

impl Handlers {
    /// A function that the guest accepts calls of whenever it accepts requests.
    pub fn any(&self) -> Func {
        match &self.streamed {
            Proxy::P3(guest) => *guest.wasi_http_handler().func_handle().func(),
            Proxy::P2(guest) => *guest.wasi_http_incoming_handler().func_handle().func(),
        }
    }

    /// Starts a request.
    pub fn start<'a>(
        &'a self,
        accessor: &'a Accessor<GuestState>,
        request: InstanceRequest,
        answer: oneshot::Sender<wasmtime::Result<Response>>,
        expiration: Sleep,
    ) -> wasmtime::Result<BoxFuture<'a, wasmtime::Result<Ended<'a>>>> {
        let request = match (request, &self.whole) {
            (InstanceRequest::Whole(request), Some(functions)) if !wants_events(&request) => {
                let started =
                    accessor.with(|store| Started::new(store, functions, request, answer))?;
                return Ok(started.run(accessor, expiration).boxed());
            }
            (InstanceRequest::Whole(request), _) => request.map(|body| body.into_body()),
            (InstanceRequest::Streamed(request), _) => request,
        };
        let prepared = accessor.with(|mut store| {
            let store = store.as_context_mut();
            Prepared::new(store, &self.streamed, request, GuestState::http, answer)
        })?;
        let ended = prepared.run(accessor, expiration);
        Ok(ended.map_ok(|in_time| Ended { in_time, hanging: None }).boxed())
    }
}

/// Whether the client accepts server-sent events, which a complete response would delay.
fn wants_events<B>(request: &http::Request<B>) -> bool {
    let values = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = values.flat_map(|value| value.split(','));
    types.any(|item| {
        let media_type = item.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("text/event-stream")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_accepts_events_gets_them_as_a_stream() {
        for (values, expected) in [
            (&["text/event-stream"][..], true),
            (&["text/html, Text/Event-Stream ; q=0.5"], true),
            (&["*/*", "text/event-stream"], true),
            (&[], false),
            (&["*/*"], false),
            (&["text/*, text/event-streams"], false),
            (&["text/html;a=text/event-stream"], false),
        ] {
            let mut request = http::Request::new(());
            for value in values {
                request.headers_mut().append(ACCEPT, value.parse().unwrap());
            }
            assert_eq!(wants_events(&request), expected, "{values:?}");
        }
    }
}
