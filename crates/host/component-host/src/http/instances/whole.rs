//! Calls of `doorbuster:http/handler`: a complete request and its response, without streams.

use std::pin::pin;

use field_lines::{from_lines, to_lines};
use futures::channel::oneshot;
use futures::future::{Either, select};
use http::{Request, Response, StatusCode};
use wasmtime::AsContextMut;
use wasmtime::component::{
    Accessor, Component, ComponentExportIndex, ComponentType, Instance, Lift, Lower, TypedFunc,
    TypedFuncCallConcurrent,
};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ExpirationError;

use crate::http::body::WholeBody;
use crate::state::GuestState;

const HANDLER: &str = "doorbuster:http/handler@0.1.0";

/// The longest body of a response. Longer ones are to be streamed: a client may take its time to
/// receive a response, which the host stores meanwhile.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct WholeRequest {
    method: String,
    #[component(name = "path-with-query")]
    path_with_query: String,
    scheme: Option<String>,
    authority: Option<String>,
    headers: Vec<u8>,
    body: Vec<u8>,
    trailers: Vec<u8>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct WholeResponse {
    status: u16,
    headers: Vec<u8>,
    body: Vec<u8>,
    trailers: Vec<u8>,
}

/// The exported function of one instance.
pub(super) type Handle = TypedFunc<(WholeRequest,), (WholeResponse,)>;
type Call = TypedFuncCallConcurrent<GuestState, (WholeRequest,), (WholeResponse,)>;

/// Marks a response whose body is complete.
#[derive(Clone)]
pub(in crate::http) struct Complete;

/// Where a component exports the interface.
pub(super) struct Export(ComponentExportIndex);

impl Export {
    /// `None` if the component does not export the interface.
    pub fn find(component: &Component) -> Option<Self> {
        let interface = component.get_export_index(None, HANDLER)?;
        component.get_export_index(Some(&interface), "handle").map(Self)
    }

    /// The function of an instance.
    pub fn load(
        &self,
        store: impl AsContextMut<Data = GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<Handle> {
        instance.get_typed_func(store, self.0)
    }
}

/// A call that was started.
pub(super) struct Started {
    handle: Handle,
    call: Call,
    answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
}

impl Started {
    pub fn new(
        store: impl AsContextMut<Data = GuestState>,
        handle: Handle,
        request: Request<WholeBody>,
        answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
    ) -> wasmtime::Result<Self> {
        let call = handle.start_call_concurrent(store, (lower(request),))?;
        Ok(Self { handle, call, answer })
    }

    /// Waits for the response, and passes it on. Returns whether it came before `expiration`.
    pub async fn run(
        self,
        accessor: &Accessor<GuestState>,
        expiration: impl Future<Output = ()>,
    ) -> wasmtime::Result<bool> {
        let Self { handle, call, answer } = self;
        let response = pin!(handle.finish_call_concurrent(accessor, call));
        let (result, in_time) = match select(response, pin!(expiration)).await {
            Either::Left((result, _)) => (result.and_then(|(response,)| lift(response)), true),
            Either::Right(((), _)) => (Err(ExpirationError.into()), false),
        };
        // `send` fails if the caller no longer waits.
        let _ = answer.send(result);
        Ok(in_time)
    }
}

fn lower(request: Request<WholeBody>) -> WholeRequest {
    let (head, body) = request.into_parts();
    let uri = &head.uri;
    WholeRequest {
        method: head.method.as_str().into(),
        path_with_query: uri.path_and_query().map_or("/", |path| path.as_str()).into(),
        scheme: uri.scheme_str().map(Into::into),
        authority: uri.authority().map(|authority| authority.as_str().into()),
        headers: to_lines(&head.headers),
        body: body.data.into(),
        trailers: body.trailers.as_ref().map(to_lines).unwrap_or_default(),
    }
}

fn lift(response: WholeResponse) -> wasmtime::Result<Response<WasiBody>> {
    let invalid = |what: &str| wasmtime::format_err!("the response has {what}");
    let length = response.body.len();
    if length > RESPONSE_BYTES_MAX {
        return Err(wasmtime::format_err!(
            "the response is {length} bytes long; {HANDLER} allows {RESPONSE_BYTES_MAX}, longer \
             responses must be streams of wasi:http/handler"
        ));
    }
    let status = StatusCode::from_u16(response.status);
    let trailers =
        from_lines(&response.trailers.into()).ok_or_else(|| invalid("invalid trailers"))?;
    let body = WholeBody {
        data: response.body.into(),
        trailers: (!trailers.is_empty()).then_some(trailers),
    };
    let mut lifted = Response::new(body.into_body());
    lifted.extensions_mut().insert(Complete);
    *lifted.status_mut() = status.map_err(|_| invalid("an invalid status"))?;
    *lifted.headers_mut() =
        from_lines(&response.headers.into()).ok_or_else(|| invalid("invalid header fields"))?;
    Ok(lifted)
}
