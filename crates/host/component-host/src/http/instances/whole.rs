//! Calls of `doorbuster:http/handler`: a complete request and its response, without streams.

use std::pin::pin;

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

use crate::state::GuestState;
use crate::whole::{WholeBody, WholeRequest, WholeResponse, request_to_guest, response_from_guest};

const HANDLER: &str = "doorbuster:http/handler@0.1.0";

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
        let call = handle.start_call_concurrent(store, (request_to_guest(request),))?;
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

fn lift(response: WholeResponse, is_head: bool) -> wasmtime::Result<Response<WasiBody>> {
    let response = response_from_guest(response, is_head)
        .map_err(|fault| wasmtime::format_err!("the response of {HANDLER} has {fault}"))?;
    let mut lifted = response.map(WholeBody::into_body);
    lifted.extensions_mut().insert(Complete);
    Ok(lifted)
}
