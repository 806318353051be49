//! Calls of `doorbuster:http/handler`, and of `doorbuster:http/filter` of the middleware before it: a
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

use crate::compose::{FILTERED_HANDLER, filter_name};
use crate::state::GuestState;
use crate::whole::{
    Decision, Head, WholeBody, WholeRequest, WholeResponse, change_request, head_to_filter,
    request_to_guest, response_from_guest,
};

const HANDLER: &str = "doorbuster:http/handler@0.1.0";

/// The exported functions of one instance.
#[derive(Clone)]
pub(super) struct Functions {
    /// Those of the middleware, from the outermost.
    filters: Arc<[Filter]>,
    handle: Handle,
}

type Filter = TypedFunc<(Head,), (Decision,)>;
type Handle = TypedFunc<(WholeRequest,), (WholeResponse,)>;
type Call = TypedFuncCallConcurrent<GuestState, (WholeRequest,), (WholeResponse,)>;

/// Marks a response whose body is complete.
#[derive(Clone)]
pub(in crate::http) struct Complete;

/// Where a component exports the interfaces.
pub(super) struct Export {
    filters: Vec<ComponentExportIndex>,
    handle: ComponentExportIndex,
}

impl Export {
    /// `None` if the component does not export the interface. Fails if the export has another type.
    pub fn find(component: &Component) -> Result<Option<Self>, String> {
        let filtered = component.get_export_index(None, FILTERED_HANDLER);
        let interface = filtered.or_else(|| component.get_export_index(None, HANDLER));
        let Some(interface) = interface else { return Ok(None) };
        let filters = match filtered {
            Some(_) => find_filters(component)?,
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
            Some((item, handle)) if is_handle(&item) => Ok(Some(Self { filters, handle })),
            _ => Err(format!("its export {HANDLER} has no function `handle` of that interface")),
        }
    }

    /// The functions of an instance.
    pub fn load(
        &self,
        mut store: impl AsContextMut<Data = GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<Functions> {
        let filters = self.filters.iter().map(|index| instance.get_typed_func(&mut store, index));
        let filters = filters.collect::<wasmtime::Result<_>>()?;
        Ok(Functions { filters, handle: instance.get_typed_func(&mut store, self.handle)? })
    }
}

fn find_filters(component: &Component) -> Result<Vec<ComponentExportIndex>, String> {
    let mut filters = Vec::new();
    while let Some(interface) = component.get_export_index(None, filter_name(filters.len())) {
        let filter = component.get_export_index(Some(&interface), "decide");
        filters.push(filter.ok_or("its middleware has no function `decide`")?);
    }
    Ok(filters)
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
    is_head: bool,
    answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
}

/// The first call for a request.
enum First {
    /// That of the handler, if there are no filters.
    Handler(Call),
    /// That of a filter, which is yet to be started.
    Filter(Box<Request<WholeBody>>),
}

impl Started {
    pub fn new(
        store: impl AsContextMut<Data = GuestState>,
        functions: &Functions,
        request: Request<WholeBody>,
        answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
    ) -> wasmtime::Result<Self> {
        let is_head = request.method() == Method::HEAD;
        let first = if functions.filters.is_empty() {
            let request = (request_to_guest(request),);
            First::Handler(functions.handle.start_call_concurrent(store, request)?)
        } else {
            First::Filter(request.into())
        };
        Ok(Self { functions: functions.clone(), first, is_head, answer })
    }

    /// Waits for the response, and passes it on. Returns whether it came before `expiration`.
    pub async fn run(
        self,
        accessor: &Accessor<GuestState>,
        expiration: impl Future<Output = ()>,
    ) -> wasmtime::Result<bool> {
        let Self { functions, first, is_head, answer } = self;
        let response = async {
            match first {
                First::Handler(call) => {
                    let called = functions.handle.finish_call_concurrent(accessor, call);
                    called.await.and_then(|(response,)| lift(response, is_head))
                }
                First::Filter(request) => filter(accessor, &functions, *request, is_head).await,
            }
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

/// Passes a request through the filters to the handler. The first filter that answers it is the last
/// one that is called.
async fn filter(
    accessor: &Accessor<GuestState>,
    functions: &Functions,
    mut request: Request<WholeBody>,
    is_head: bool,
) -> wasmtime::Result<Response<WasiBody>> {
    let (mut headers, mut answer) = (Vec::new(), None);
    for filter in &*functions.filters {
        let (decision,) = filter.call_concurrent(accessor, (head_to_filter(&request),)).await?;
        match decision {
            Decision::Pass(changes) => {
                let changed = change_request(&mut request, changes);
                headers.push(changed.map_err(|fault| {
                    wasmtime::format_err!("the changes of middleware have {fault}")
                })?);
            }
            Decision::Answer(response) => {
                answer = Some(response);
                break;
            }
        }
    }
    let response = match answer {
        Some(response) => response,
        None => {
            let request = (request_to_guest(request),);
            functions.handle.call_concurrent(accessor, request).await?.0
        }
    };
    let mut response = lift(response, is_head)?;
    // The outermost has the last word, as with streams.
    for headers in headers.into_iter().rev() {
        response.headers_mut().extend(headers);
    }
    Ok(response)
}

fn lift(response: WholeResponse, is_head: bool) -> wasmtime::Result<Response<WasiBody>> {
    let response = response_from_guest(response, is_head)
        .map_err(|fault| wasmtime::format_err!("the response of {HANDLER} has {fault}"))?;
    let mut lifted = response.map(WholeBody::into_body);
    lifted.extensions_mut().insert(Complete);
    Ok(lifted)
}
