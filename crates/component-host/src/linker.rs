//! What guests can import: WASI 0.2 and 0.3, `wasi:http`, Spin's variables, and the
//! program's capabilities; with name look-ups checked against the manifest.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasData, Linker};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup as lookup2;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup as lookup3;

use crate::capability::Capability;
use crate::lookup::CheckedLookup;
use crate::state::GuestState;

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package doorbuster:host;
            world host { import spin:variables/variables@3.0.0; }
        ",
        path: "../../wit/deps/spin-variables",
        imports: { default: async | store },
    });
}

pub(crate) use bindings::spin::variables::variables;

/// A linker with everything that guests may import.
pub(crate) fn build(
    engine: &wasmtime::Engine,
    capabilities: &[Arc<dyn Capability>],
) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    variables::add_to_linker::<_, SpinVariables>(&mut linker, |state| state)?;
    linker.allow_shadowing(true);
    lookup2::add_to_linker::<_, CheckedLookup>(&mut linker, |state| state)?;
    lookup3::add_to_linker::<_, CheckedLookup>(&mut linker, |state| state)?;
    linker.allow_shadowing(false);
    for capability in capabilities {
        capability.add_to_linker(&mut linker)?;
    }
    Ok(linker)
}

struct SpinVariables;

impl HasData for SpinVariables {
    type Data<'a> = &'a mut GuestState;
}

impl variables::Host for &mut GuestState {}

impl variables::HostWithStore<GuestState> for SpinVariables {
    async fn get(
        accessor: &Accessor<GuestState, Self>,
        name: String,
    ) -> Result<String, variables::Error> {
        accessor.with(|mut access| match access.get().variables.get(&name) {
            Some(value) => Ok(value.clone()),
            None => Err(variables::Error::Undefined(format!(
                "the component declares no variable `{name}`"
            ))),
        })
    }
}
