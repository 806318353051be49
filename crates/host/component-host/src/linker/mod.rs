//! The imports of guests: WASI 0.2 and 0.3, `wasi:http`, Spin's variables, and the capabilities of
//! the program. Name lookups are checked against the manifest.

mod candidate;
mod denied;
mod unavailable;
mod variables;

use std::borrow::Cow;
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup as lookup2;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup as lookup3;

pub(crate) use candidate::{exports_candidate, released};

use crate::capability::Capability;
use crate::denial;
use crate::lookup::CheckedLookup;
use crate::state::GuestState;

/// Creates a linker with everything that guests may import.
pub(crate) fn build(
    engine: &wasmtime::Engine,
    capabilities: &[Arc<dyn Capability>],
) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    variables::add_to_linker(&mut linker)?;
    linker.allow_shadowing(true);
    lookup2::add_to_linker::<_, CheckedLookup>(&mut linker, |state| state)?;
    lookup3::add_to_linker::<_, CheckedLookup>(&mut linker, |state| state)?;
    linker.allow_shadowing(false);
    for capability in capabilities {
        capability.add_to_linker(&mut linker)?;
    }
    Ok(linker)
}

/// Links a component. The error names the imports that this host does not provide. `provided` are the
/// interfaces of the capabilities.
pub(crate) fn link(
    linker: &Linker<GuestState>,
    component: &Component,
    provided: &[&str],
) -> Result<InstancePre<GuestState>, String> {
    let own = with_own_imports(linker, component).map_err(|e| format!("{e:#}"))?;
    own.instantiate_pre(component).map_err(|e| unavailable::explain(component, provided, &e))
}

/// The linker, with the imports that only some components have: denied imports of dependencies, and
/// release candidates of WASI 0.3.
fn with_own_imports<'a>(
    linker: &'a Linker<GuestState>,
    component: &Component,
) -> wasmtime::Result<Cow<'a, Linker<GuestState>>> {
    let mut linker = Cow::Borrowed(linker);
    for (import, _) in component.component_type().imports(component.engine()) {
        if denial::is_denied(import) {
            denied::add_to_linker(linker.to_mut(), import)?;
        } else if released(import).is_some() {
            candidate::add_to_linker(linker.to_mut(), import)?;
        }
    }
    Ok(linker)
}
