//! Calls of `doorbuster:http/handler`, and of `doorbuster:http/filter` and `doorbuster:http/interceptor`
//! of the middleware before it: a complete request and its response, without streams.

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

use super::chain::{self, Calls, Kind};
use crate::compose::{FILTERED_HANDLER, filter_name, interceptor_name};
use crate::state::GuestState;
use crate::whole::{
    Action, Decision, Event, Head, WholeBody, WholeRequest, WholeResponse, request_to_guest,
    response_from_guest,
};

const HANDLER: &str = "doorbuster:http/handler@0.1.0";

/// The exported functions of one instance.
#[derive(Clone)]
pub(super) struct Functions {
    /// Those of the middleware, from the outermost.
    middleware: Arc<[Middleware]>,
    handle: Handle,
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
    handle: ComponentExportIndex,
}

enum MiddlewareExport {
    Filter(ComponentExportIndex),
    Interceptor { begin: ComponentExportIndex, resume: ComponentExportIndex },
}

impl Export {
    /// `None` if the component does not export the interface. Fails if the export has another type.
    pub fn find(component: &Component) -> Result<Option<Self>, String> {
        let filtered = component.get_export_index(None, FILTERED_HANDLER);
        let interface = filtered.or_else(|| component.get_export_index(None, HANDLER));
        let Some(interface) = interface else { return Ok(None) };
        let middleware = match filtered {
            Some(_) => find_middleware(component)?,
            None => Vec::new(),
        };
        let found = component.get_export(Some(&interface), "handle");
        let is_handle = |item: &ComponentItem| match item {
            ComponentItem::ComponentFunc(function) => {
                function.params().map(|(_, ty)| fields(&ty)).eq([fields_of(&REQUEST)])
                    && function.results().map(|ty| fields(&ty)).eq([fields_of(&RESPONSE)])
            }
            _ => false,
        };
        match found {
            Some((item, handle)) if is_handle(&item) => Ok(Some(Self { middleware, handle })),
            _ => Err(format!("its export {HANDLER} has no function `handle` of that interface")),
        }
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
        Ok(Functions { middleware, handle: instance.get_typed_func(&mut store, self.handle)? })
    }
}

/// The exports of the middleware before the component, from the outermost.
fn find_middleware(component: &Component) -> Result<Vec<MiddlewareExport>, String> {
    let function = |interface: &ComponentExportIndex, name: &str| {
        let found = component.get_export_index(Some(interface), name);
        found.ok_or_else(|| format!("its middleware has no function `{name}`"))
    };
    let mut all = Vec::new();
    loop {
        let filter = component.get_export_index(None, filter_name(all.len()));
        let interceptor = component.get_export_index(None, interceptor_name(all.len()));
        all.push(match (filter, interceptor) {
            (Some(filter), _) => MiddlewareExport::Filter(function(&filter, "decide")?),
            (None, Some(interceptor)) => MiddlewareExport::Interceptor {
                begin: function(&interceptor, "begin")?,
                resume: function(&interceptor, "resume")?,
            },
            (None, None) => return Ok(all),
        });
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
    functions: Functions,
    first: First,
    answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
}

/// The first call for a request.
enum First {
    /// That of the handler, if there is no middleware.
    Handler { call: Call, is_head: bool },
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
        let first = if functions.middleware.is_empty() {
            let is_head = request.method() == Method::HEAD;
            let request = (request_to_guest(request),);
            let call = functions.handle.start_call_concurrent(store, request)?;
            First::Handler { call, is_head }
        } else {
            First::Middleware(request.into())
        };
        Ok(Self { functions: functions.clone(), first, answer })
    }

    /// Waits for the response, and passes it on. Returns whether it came before `expiration`.
    pub async fn run(
        self,
        accessor: &Accessor<GuestState>,
        expiration: impl Future<Output = ()>,
    ) -> wasmtime::Result<bool> {
        let Self { functions, first, answer } = self;
        let (call, is_head) = match first {
            First::Handler { call, is_head } => (call, is_head),
            First::Middleware(request) => {
                let calls = InstanceCalls { accessor, functions };
                return Ok(chain::run(calls, *request, answer, expiration).await);
            }
        };
        let response = async {
            let (response,) = functions.handle.finish_call_concurrent(accessor, call).await?;
            Ok(into_complete(lift(response, is_head)?))
        };
        let (result, in_time) = match select(pin!(response), pin!(expiration)).await {
            Either::Left((result, _)) => (result, true),
            Either::Right(((), _)) => (Err(ExpirationError.into()), false),
        };
        // `send` fails if the caller no longer waits.
        let _ = answer.send(result);
        Ok(in_time)
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
        let request = (request_to_guest(request),);
        Ok(self.functions.handle.call_concurrent(self.accessor, request).await?.0)
    }
}

fn no_function() -> wasmtime::Error {
    wasmtime::Error::msg("the middleware has no such function")
}

pub(super) fn lift(
    response: WholeResponse,
    is_head: bool,
) -> wasmtime::Result<Response<WholeBody>> {
    response_from_guest(response, is_head)
        .map_err(|fault| wasmtime::format_err!("the response of {HANDLER} has {fault}"))
}

/// The response for the server.
pub(super) fn into_complete(response: Response<WholeBody>) -> Response<WasiBody> {
    let mut response = response.map(WholeBody::into_body);
    response.extensions_mut().insert(Complete);
    response
}
