//! The definitions of renamed imports, which deny every call.

use wasmtime::component::{Accessor, HasData, Linker, ResourceTable};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::p3::bindings as p3;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView};
use wasmtime_wasi_http::p2::bindings::http as http2;
use wasmtime_wasi_http::p3::bindings::http as http3;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView};

use super::variables::{store, variables2, variables3};
use crate::denial::{Wasi, original};
use crate::state::GuestState;

/// Defines a renamed import so that every call is denied.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>, import: &str) -> wasmtime::Result<()> {
    type State = GuestState;
    let mut instance = linker.instance(import)?;
    macro_rules! deny {
        ($($module:ident)::+, $data:ty, $getter:expr) => {
            $($module)::+::add_to_linker_instance::<_, $data>(&mut instance, $getter)
        };
    }
    match original(import) {
        Some(("spin-variables/variables", _)) => deny!(variables3, NoVariables, |_| NoVariables),
        Some(("fermyon-spin/variables", _)) => deny!(variables2, NoVariables, |_| NoVariables),
        Some(("wasi-config/store", _)) => deny!(store, NoVariables, |_| NoVariables),
        Some(("wasi-cli/environment", Wasi::P2)) => {
            deny!(p2::cli::environment, WasiCli, State::denied_cli)
        }
        Some(("wasi-cli/environment", Wasi::P3)) => {
            deny!(p3::cli::environment, WasiCli, State::denied_cli)
        }
        Some(("wasi-filesystem/preopens", Wasi::P2)) => {
            deny!(p2::filesystem::preopens, WasiFilesystem, State::denied_filesystem)
        }
        Some(("wasi-filesystem/preopens", Wasi::P3)) => {
            deny!(p3::filesystem::preopens, WasiFilesystem, State::denied_filesystem)
        }
        Some(("wasi-http/outgoing-handler", _)) => {
            deny!(http2::outgoing_handler, WasiHttp, State::denied_http)
        }
        Some(("wasi-http/client", _)) => deny!(http3::client, WasiHttp, State::denied_http),
        Some(("wasi-sockets/tcp-create-socket", _)) => {
            deny!(p2::sockets::tcp_create_socket, WasiSockets, State::denied_sockets)
        }
        Some(("wasi-sockets/udp-create-socket", _)) => {
            deny!(p2::sockets::udp_create_socket, WasiSockets, State::denied_sockets)
        }
        Some(("wasi-sockets/types", _)) => {
            deny!(p3::sockets::types, WasiSockets, State::denied_sockets)
        }
        Some(("wasi-sockets/ip-name-lookup", Wasi::P2)) => {
            deny!(p2::sockets::ip_name_lookup, WasiSockets, State::denied_sockets)
        }
        Some(("wasi-sockets/ip-name-lookup", Wasi::P3)) => {
            deny!(ip_name_lookup, NoLookups, |state| state)
        }
        _ => Ok(()),
    }
}

impl GuestState {
    fn denied_cli(&mut self) -> WasiCliCtxView<'_> {
        let (wasi, table) = self.without_rights();
        WasiCliCtxView { ctx: wasi.cli(), table }
    }

    fn denied_filesystem(&mut self) -> WasiFilesystemCtxView<'_> {
        let (wasi, table) = self.without_rights();
        WasiFilesystemCtxView { ctx: wasi.filesystem(), table }
    }

    fn denied_sockets(&mut self) -> WasiSocketsCtxView<'_> {
        let (wasi, table) = self.without_rights();
        WasiSocketsCtxView { ctx: wasi.sockets(), table }
    }

    fn denied_http(&mut self) -> WasiHttpCtxView<'_> {
        let (ctx, table, hooks) = (&mut self.http, &mut self.table, &mut self.denied_requests);
        WasiHttpCtxView { ctx, table, hooks }
    }

    /// A WASI context without permissions, created on first use.
    fn without_rights(&mut self) -> (&mut WasiCtx, &mut ResourceTable) {
        let wasi = self.without_rights.get_or_insert_with(|| {
            Box::new(WasiCtx::builder().allow_tcp(false).allow_udp(false).build())
        });
        (wasi, &mut self.table)
    }
}

/// The interfaces for variables: every variable is undefined.
struct NoVariables;

impl HasData for NoVariables {
    type Data<'a> = NoVariables;
}

fn not_inherited(name: &str) -> String {
    format!("`{name}`: the dependency does not inherit `variables`")
}

impl variables3::Host for NoVariables {}

impl variables3::HostWithStore<GuestState> for NoVariables {
    async fn get(
        _: &Accessor<GuestState, Self>,
        name: String,
    ) -> Result<String, variables3::Error> {
        Err(variables3::Error::Undefined(not_inherited(&name)))
    }
}

impl variables2::Host for NoVariables {
    fn get(&mut self, name: String) -> Result<String, variables2::Error> {
        Err(variables2::Error::Undefined(not_inherited(&name)))
    }
}

impl store::Host for NoVariables {
    fn get(&mut self, _: String) -> Result<Option<String>, store::Error> {
        Ok(None)
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, store::Error> {
        Ok(Vec::new())
    }
}

/// Name lookups, all of which are denied. A WASI context without permissions would not return the
/// reason.
struct NoLookups;

impl HasData for NoLookups {
    type Data<'a> = &'a mut GuestState;
}

impl ip_name_lookup::HostWithStore<GuestState> for NoLookups {
    async fn resolve_addresses(
        _: &Accessor<GuestState, Self>,
        _: String,
    ) -> wasmtime::Result<Result<Vec<IpAddress>, ip_name_lookup::ErrorCode>> {
        Ok(Err(ip_name_lookup::ErrorCode::AccessDenied))
    }
}
