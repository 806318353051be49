//! Calls of `doorbuster:http/handler`, of `doorbuster:http/filter` and `doorbuster:http/interceptor` of the
//! middleware before it, and of `doorbuster:http/interceptor` of a component that forwards requests: a
//! complete request and its response, without streams.

use std::pin::pin;
use std::sync::Arc;

use futures::channel::oneshot;
use futures::future::{Either, select};
use http::{Method, Request, Response};
use wasmtime::AsContextMut;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{
    Accessor, Component, ComponentExportIndex, Instance, TypedFunc, TypedFuncCallConcurrent,
};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ExpirationError;

use super::chain::{self, Calls, Ended, Kind};
use super::response_body::{ResponseBody, into_response};
use crate::compose::{GUARDED_HANDLER, filter_name, interceptor_name};
use crate::state::GuestState;
use crate::whole::{
    Action, Decision, Event, Head, SendError, WholeBody, WholeRequest, WholeResponse,
    request_to_guest, response_from_guest,
};

const HANDLER: &str = "doorbuster:http/handler@0.1.0";

/// The exported functions of one instance.
#[derive(Clone)]
pub(super) struct Functions {
    /// Those of the middleware, from the outermost.
    middleware: Arc<[Middleware]>,
    /// That of the handler behind; `None` if the last of the middleware forwards requests instead.
    handle: Option<Handle>,
}

enum Middleware {
    Filter(TypedFunc<(Head,), (Decision,)>),
    Interceptor { begin: TypedFunc<(Head,), (Action,)>, resume: TypedFunc<(u64, Event), (Action,)> },
}

type Handle = TypedFunc<(WholeRequest,), (WholeResponse,)>;
type Call = TypedFuncCallConcurrent<GuestState, (WholeRequest,), (WholeResponse,)>;

/// Marks a response whose body is complete.
#[derive(Clone)]
pub(in crate::http) struct Complete;

/// Where a component exports the interfaces.
pub(super) struct Export {
    middleware: Vec<MiddlewareExport>,
    handle: Option<ComponentExportIndex>,
}

enum MiddlewareExport {
    Filter(ComponentExportIndex),
    Interceptor { begin: ComponentExportIndex, resume: ComponentExportIndex },
}

impl Export {
    /// `None` if the component does not export the interfaces. Fails if an export has another type.
    pub fn find(component: &Component) -> Result<Option<Self>, String> {
        let mut middleware = Vec::new();
        while let Some(found) = find_middleware(component, middleware.len())? {
            middleware.push(found);
        }
        let name = if middleware.is_empty() { HANDLER } else { GUARDED_HANDLER };
        let signature = format!("({REQUEST}) -> {RESPONSE}");
        let handle = component.get_export_index(None, name).map(|interface| {
            find_function(component, &interface, "handle", &signature)
                .map_err(|fault| format!("its export {HANDLER} {fault}"))
        });
        let handle = handle.transpose()?;
        let is_complete = handle.is_some()
            || matches!(middleware.last(), Some(MiddlewareExport::Interceptor { .. }));
        Ok(is_complete.then_some(Self { middleware, handle }))
    }

    /// The functions of an instance.
    pub fn load(
        &self,
        mut store: impl AsContextMut<Data = GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<Functions> {
        let middleware = self.middleware.iter().map(|export| {
            Ok(match export {
                MiddlewareExport::Filter(decide) => {
                    Middleware::Filter(instance.get_typed_func(&mut store, decide)?)
                }
                MiddlewareExport::Interceptor { begin, resume } => Middleware::Interceptor {
                    begin: instance.get_typed_func(&mut store, begin)?,
                    resume: instance.get_typed_func(&mut store, resume)?,
                },
            })
        });
        let middleware = middleware.collect::<wasmtime::Result<_>>()?;
        let handle = self.handle.map(|handle| instance.get_typed_func(&mut store, handle));
        Ok(Functions { middleware, handle: handle.transpose()? })
    }
}

/// The exports of the middleware at this position, from the outermost; `None` behind the last one.
fn find_middleware(
    component: &Component,
    position: usize,
) -> Result<Option<MiddlewareExport>, String> {
    let fault = |fault: String| format!("the interface of its middleware[{position}] {fault}");
    if let Some(filter) = component.get_export_index(None, filter_name(position)) {
        let decide = format!("({HEAD}) -> {}", decision());
        let decide = find_function(component, &filter, "decide", &decide).map_err(fault)?;
        return Ok(Some(MiddlewareExport::Filter(decide)));
    }
    let Some(interceptor) = component.get_export_index(None, interceptor_name(position)) else {
        return Ok(None);
    };
    let find = |name, params: &str| {
        let signature = format!("({params}) -> {}", action());
        find_function(component, &interceptor, name, &signature).map_err(fault)
    };
    Ok(Some(MiddlewareExport::Interceptor {
        begin: find("begin", HEAD)?,
        resume: find("resume", &format!("u64, {EVENT}"))?,
    }))
}

/// A function of an exported interface, if it has this type.
fn find_function(
    component: &Component,
    interface: &ComponentExportIndex,
    name: &str,
    expected: &str,
) -> Result<ComponentExportIndex, String> {
    let Some((ComponentItem::ComponentFunc(function), index)) =
        component.get_export(Some(interface), name)
    else {
        return Err(format!("has no function `{name}`"));
    };
    let params: Vec<_> = function.params().map(|(_, ty)| name_of(&ty)).collect();
    let results: Vec<_> = function.results().map(|ty| name_of(&ty)).collect();
    let found = format!("({}) -> {}", params.join(", "), results.join(", "));
    if found == expected {
        return Ok(index);
    }
    Err(format!(
        "is not of the version that this host supports: `{name}` is {found}, not {expected}"
    ))
}

const REQUEST: &str = "{method: string, path-with-query: string, scheme: option<string>, \
                       authority: option<string>, headers: list<u8>, body: list<u8>, \
                       trailers: list<u8>}";
const HEAD: &str = "{method: string, path-with-query: string, scheme: option<string>, \
                    authority: option<string>, headers: list<u8>}";
const RESPONSE: &str = "{status: u16, headers: list<u8>, body: list<u8>, trailers: list<u8>}";

fn decision() -> String {
    let changes = "{remove: list<string>, insert: list<u8>, response: list<u8>}";
    format!("<pass({changes}), answer({RESPONSE})>")
}

fn action() -> String {
    let server = "{scheme: string, authority: string, path-with-query: string}";
    let sending = format!(
        "{{exchange: u64, server: option<{server}>, remove: list<string>, insert: list<u8>, \
         after-ms: u32, timeout-ms: option<u32>}}"
    );
    let receiving = "{exchange: u64, bytes-max: u64}";
    let early = format!("{{exchange: u64, response: {RESPONSE}}}");
    format!(
        "<send({sending}), receive-request({receiving}), receive-response({receiving}), \
         pass(list<u8>), answer({RESPONSE}), answer-first({early}), finish, fail(string)>"
    )
}

const EVENT: &str = "<response({status: u16, headers: list<u8>, body-bytes: option<u64>}), \
                     failed(<denied, invalid-request(string), name-not-found, unreachable, \
                     connection-refused, connection-timeout, certificate-not-trusted, tls-failed, \
                     connection-limit, interrupted, response-timeout, response-too-large, \
                     other(string)>), timed-out, body({data: list<u8>, trailers: list<u8>}), \
                     too-long, answered, cancelled>";

/// The name of a type that occurs in the interfaces.
fn name_of(ty: &Type) -> String {
    match ty {
        Type::String => "string".into(),
        Type::U8 => "u8".into(),
        Type::U16 => "u16".into(),
        Type::U32 => "u32".into(),
        Type::U64 => "u64".into(),
        Type::List(list) => format!("list<{}>", name_of(&list.ty())),
        Type::Option(option) => format!("option<{}>", name_of(&option.ty())),
        Type::Record(record) => {
            let fields =
                record.fields().map(|field| format!("{}: {}", field.name, name_of(&field.ty)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Type::Variant(variant) => {
            let cases = variant.cases().map(|case| match case.ty {
                Some(ty) => format!("{}({})", case.name, name_of(&ty)),
                None => case.name.into(),
            });
            format!("<{}>", cases.collect::<Vec<_>>().join(", "))
        }
        _ => "another type".into(),
    }
}

/// A call that was started.
pub(super) struct Started {
    functions: Functions,
    first: First,
    answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
}

/// The first call for a request.
enum First {
    /// That of the handler, if there is no middleware.
    Handler { handle: Handle, call: Call, is_head: bool },
    /// That of middleware, which is yet to be started.
    Middleware(Box<Request<WholeBody>>),
}

impl Started {
    pub fn new(
        store: impl AsContextMut<Data = GuestState>,
        functions: &Functions,
        request: Request<WholeBody>,
        answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
    ) -> wasmtime::Result<Self> {
        let first = match &functions.handle {
            Some(handle) if functions.middleware.is_empty() => {
                let is_head = request.method() == Method::HEAD;
                let request = (request_to_guest(request),);
                let call = handle.start_call_concurrent(store, request)?;
                First::Handler { handle: *handle, call, is_head }
            }
            _ => First::Middleware(request.into()),
        };
        Ok(Self { functions: functions.clone(), first, answer })
    }

    /// Waits for the response until `expiration`, and passes it on.
    pub async fn run<'a>(
        self,
        accessor: &'a Accessor<GuestState>,
        expiration: impl Future<Output = ()>,
    ) -> wasmtime::Result<Ended<'a>> {
        let Self { functions, first, answer } = self;
        let (handle, call, is_head) = match first {
            First::Handler { handle, call, is_head } => (handle, call, is_head),
            First::Middleware(request) => {
                let calls = InstanceCalls { accessor, functions };
                return Ok(chain::run(calls, *request, answer, expiration).await);
            }
        };
        let response = async {
            let (response,) = handle.finish_call_concurrent(accessor, call).await?;
            Ok(into_response(lift(response, is_head)?))
        };
        let (result, in_time) = match select(pin!(response), pin!(expiration)).await {
            Either::Left((result, _)) => (result, true),
            Either::Right(((), _)) => (Err(ExpirationError.into()), false),
        };
        // `send` fails if the caller no longer waits.
        let _ = answer.send(result);
        Ok(Ended { in_time, hanging: None })
    }
}

/// The calls of one instance.
struct InstanceCalls<'a> {
    accessor: &'a Accessor<GuestState>,
    functions: Functions,
}

impl Calls for InstanceCalls<'_> {
    fn kind(&self, position: usize) -> Option<Kind> {
        self.functions.middleware.get(position).map(|middleware| match middleware {
            Middleware::Filter(_) => Kind::Filter,
            Middleware::Interceptor { .. } => Kind::Interceptor,
        })
    }

    fn is_forwarding(&self, position: usize) -> bool {
        self.functions.handle.is_none() && position + 1 == self.functions.middleware.len()
    }

    async fn decide(&self, position: usize, head: Head) -> wasmtime::Result<Decision> {
        match self.functions.middleware.get(position) {
            Some(Middleware::Filter(decide)) => {
                Ok(decide.call_concurrent(self.accessor, (head,)).await?.0)
            }
            _ => Err(no_function()),
        }
    }

    async fn begin(&self, position: usize, head: Head) -> wasmtime::Result<Action> {
        match self.functions.middleware.get(position) {
            Some(Middleware::Interceptor { begin, .. }) => {
                Ok(begin.call_concurrent(self.accessor, (head,)).await?.0)
            }
            _ => Err(no_function()),
        }
    }

    async fn resume(
        &self,
        position: usize,
        exchange: u64,
        event: Event,
    ) -> wasmtime::Result<Action> {
        match self.functions.middleware.get(position) {
            Some(Middleware::Interceptor { resume, .. }) => {
                Ok(resume.call_concurrent(self.accessor, (exchange, event)).await?.0)
            }
            _ => Err(no_function()),
        }
    }

    async fn handle(&self, request: Request<WholeBody>) -> wasmtime::Result<WholeResponse> {
        let handle = self.functions.handle.as_ref().ok_or_else(no_function)?;
        Ok(handle.call_concurrent(self.accessor, (request_to_guest(request),)).await?.0)
    }

    async fn forward(&self, request: Request<WholeBody>) -> Result<Response<WasiBody>, SendError> {
        let outbound = self.accessor.with(|mut store| store.get().outbound().clone());
        outbound.forward(request).await
    }

    fn report(&self, error: &wasmtime::Error) {
        let component = self.accessor.with(|mut store| store.get().component().clone());
        let error = format!("{error:#}");
        tracing::error!(component = &*component, error, "a part of a request failed");
    }
}

fn no_function() -> wasmtime::Error {
    wasmtime::Error::msg("the component has no such function")
}

pub(super) fn lift(
    response: WholeResponse,
    is_head: bool,
) -> wasmtime::Result<Response<ResponseBody>> {
    response_from_guest(response, is_head)
        .map(|response| response.map(Into::into))
        .map_err(|fault| wasmtime::format_err!("the response of {HANDLER} has {fault}"))
}
