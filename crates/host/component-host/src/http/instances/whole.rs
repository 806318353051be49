//! Calls of `doorbuster:http/handler`: a complete request and its response, without streams.

use std::pin::pin;

use futures::channel::oneshot;
use futures::future::{Either, select};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_text::{from_lines, to_lines};
use wasmtime::AsContextMut;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{
    Accessor, Component, ComponentExportIndex, ComponentType, Instance, Lift, Lower, TypedFunc,
    TypedFuncCallConcurrent,
};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ExpirationError;

use crate::http::body::WholeBody;
use crate::outbound::is_forbidden;
use crate::state::GuestState;

const HANDLER: &str = "doorbuster:http/handler@0.1.0";

/// The longest body of a response. Longer ones are to be streamed: a client may take its time to
/// receive a response, which the host stores meanwhile.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// The most bytes of header and trailer fields of a response, as for `wasi:http`.
const FIELDS_BYTES_MAX: usize = 128 << 10;

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
    /// `None` if the component does not export the interface. Fails if the export has another type.
    pub fn find(component: &Component) -> Result<Option<Self>, String> {
        let Some(interface) = component.get_export_index(None, HANDLER) else { return Ok(None) };
        let found = component.get_export(Some(&interface), "handle");
        let is_handle = |item: &ComponentItem| match item {
            ComponentItem::ComponentFunc(function) => {
                function.params().map(|(_, ty)| fields(&ty)).eq([fields_of(&REQUEST)])
                    && function.results().map(|ty| fields(&ty)).eq([fields_of(&RESPONSE)])
            }
            _ => false,
        };
        match found {
            Some((item, index)) if is_handle(&item) => Ok(Some(Self(index))),
            _ => Err(format!("its export {HANDLER} has no function `handle` of that interface")),
        }
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

/// The fields of the records, and their types.
const REQUEST: [(&str, &str); 7] = [
    ("method", "string"),
    ("path-with-query", "string"),
    ("scheme", "option<string>"),
    ("authority", "option<string>"),
    ("headers", "list<u8>"),
    ("body", "list<u8>"),
    ("trailers", "list<u8>"),
];
const RESPONSE: [(&str, &str); 4] =
    [("status", "u16"), ("headers", "list<u8>"), ("body", "list<u8>"), ("trailers", "list<u8>")];

fn fields_of(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|&(name, ty)| (name.into(), ty.into())).collect()
}

/// The fields of a record; none for any other type.
fn fields(ty: &Type) -> Vec<(String, String)> {
    let Type::Record(record) = ty else { return Vec::new() };
    record.fields().map(|field| (field.name.into(), name_of(&field.ty))).collect()
}

/// The name of a type that occurs in the records.
fn name_of(ty: &Type) -> String {
    match ty {
        Type::String => "string".into(),
        Type::U8 => "u8".into(),
        Type::U16 => "u16".into(),
        Type::List(list) => format!("list<{}>", name_of(&list.ty())),
        Type::Option(option) => format!("option<{}>", name_of(&option.ty())),
        _ => "another type".into(),
    }
}

/// A call that was started.
pub(super) struct Started {
    handle: Handle,
    call: Call,
    is_head: bool,
    answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
}

impl Started {
    pub fn new(
        store: impl AsContextMut<Data = GuestState>,
        handle: Handle,
        request: Request<WholeBody>,
        answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
    ) -> wasmtime::Result<Self> {
        let is_head = request.method() == Method::HEAD;
        let call = handle.start_call_concurrent(store, (lower(request),))?;
        Ok(Self { handle, call, is_head, answer })
    }

    /// Waits for the response, and passes it on. Returns whether it came before `expiration`.
    pub async fn run(
        self,
        accessor: &Accessor<GuestState>,
        expiration: impl Future<Output = ()>,
    ) -> wasmtime::Result<bool> {
        let Self { handle, call, is_head, answer } = self;
        let response = pin!(handle.finish_call_concurrent(accessor, call));
        let (result, in_time) = match select(response, pin!(expiration)).await {
            Either::Left((result, _)) => {
                (result.and_then(|(response,)| lift(response, is_head)), true)
            }
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
        headers: permitted(&head.headers),
        body: body.data.into(),
        trailers: body.trailers.as_ref().map(permitted).unwrap_or_default(),
    }
}

/// The fields that a component gets, as through `wasi:http`.
fn permitted(fields: &HeaderMap) -> Vec<u8> {
    to_lines(fields, |name| !is_forbidden(name))
}

fn lift(response: WholeResponse, is_head: bool) -> wasmtime::Result<Response<WasiBody>> {
    let WholeResponse { status, headers, body, trailers } = response;
    let invalid = |what: &str| wasmtime::format_err!("the response has {what}");
    if body.len() > RESPONSE_BYTES_MAX {
        return Err(wasmtime::format_err!(
            "the body of the response has {} bytes; {HANDLER} allows {RESPONSE_BYTES_MAX}, and \
             longer responses must be streams of wasi:http/handler",
            body.len()
        ));
    }
    if headers.len() + trailers.len() > FIELDS_BYTES_MAX {
        return Err(invalid("more than 128 KiB of header and trailer fields"));
    }
    let fields = |lines: Vec<u8>| {
        let fields = from_lines(&lines.into()).ok_or_else(|| invalid("an invalid field"))?;
        match fields.keys().find(|name| is_forbidden(name)) {
            Some(name) => Err(invalid(&format!("the field `{name}`, which only the host sets"))),
            None => Ok(fields),
        }
    };
    let (headers, trailers) = (fields(headers)?, fields(trailers)?);
    let status = StatusCode::from_u16(status).map_err(|_| invalid("an invalid status"))?;
    // A client takes the announced number of bytes for the body, and the rest for the next response.
    let may_announce = body.is_empty() && (is_head || status == StatusCode::NOT_MODIFIED);
    let mut announced = headers.get_all(header::CONTENT_LENGTH).iter();
    match (announced.next().map(|length| length.to_str()), announced.next()) {
        (None, _) => {}
        (Some(Ok(length)), None) if may_announce || length == body.len().to_string() => {}
        _ => return Err(invalid("a `content-length` that is not the length of its body")),
    }
    let trailers = (!trailers.is_empty()).then_some(trailers);
    let mut lifted = Response::new(WholeBody { data: body.into(), trailers }.into_body());
    *lifted.status_mut() = status;
    *lifted.headers_mut() = headers;
    lifted.extensions_mut().insert(Complete);
    Ok(lifted)
}
