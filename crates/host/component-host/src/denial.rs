//! Denies what a dependency does not inherit. Its imports are renamed when it is composed, and the
//! definitions under the new names deny every call, as in Spin.

use http::{Request, Response};
use wasmtime::component::{Accessor, HasData, Linker, ResourceTable};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView};
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::p3::bindings as p3;
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView};
use wasmtime_wasi_http::p2::bindings::http as http2;
use wasmtime_wasi_http::p3::bindings::http as http3;
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttp, WasiHttpCtxView, WasiHttpHooks,
};

use crate::linker::{store, variables2, variables3};
use crate::state::GuestState;
use spin_app::app::Inherit;
use spin_app::interface::without_version;

/// Spin's names for the permissions that a dependency can inherit.
pub(crate) const RIGHTS: [&str; 7] = [
    "ai_models",
    "allowed_outbound_hosts",
    "environment",
    "files",
    "key_value_stores",
    "sqlite_databases",
    "variables",
];

/// The namespace of imports that are denied.
const NAMESPACE: &str = "denied:";

/// The permission to connect to hosts.
pub(crate) const NETWORK: &str = "allowed_outbound_hosts";

/// Interfaces with access to external resources, and the permission that each one needs.
const GUARDED: [(&str, &str); 10] = [
    ("fermyon:spin/variables", "variables"),
    ("spin:variables/variables", "variables"),
    ("wasi:cli/environment", "environment"),
    ("wasi:config/store", "variables"),
    ("wasi:http/client", NETWORK),
    ("wasi:http/outgoing-handler", NETWORK),
    ("wasi:sockets/ip-name-lookup", NETWORK),
    ("wasi:sockets/tcp-create-socket", NETWORK),
    ("wasi:sockets/udp-create-socket", NETWORK),
    // For WASI 0.3, in which a socket is created by its own type. In 0.2 there are separate
    // interfaces for that.
    ("wasi:sockets/types", NETWORK),
];

/// The name of a denied import that replaces `import`; `None` if the import is permitted.
pub(crate) fn import(import: &str, dependency: usize, inherit: &Inherit) -> Option<String> {
    let path = without_version(import);
    let (_, right) = GUARDED.iter().find(|(guarded, _)| *guarded == path)?;
    (!inherit.has(right)).then(|| renamed(import, dependency))
}

/// Renames `wasi:http/client@0.3.0` to `denied:d1-wasi-http/client@0.3.0`. The name contains the
/// dependency's number: a component imports only those functions of an interface that it calls, so
/// that the import of one dependency may lack functions that another needs.
fn renamed(import: &str, dependency: usize) -> String {
    format!("{NAMESPACE}d{dependency}-{}", import.replacen(':', "-", 1))
}

/// Whether the import has such a name.
pub(crate) fn is_denied(import: &str) -> bool {
    import.starts_with(NAMESPACE)
}

/// Defines a renamed import so that every call is denied.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>, import: &str) -> wasmtime::Result<()> {
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
            deny!(p2::cli::environment, WasiCli, State::nothing)
        }
        Some(("wasi-cli/environment", Wasi::P3)) => {
            deny!(p3::cli::environment, WasiCli, State::nothing)
        }
        Some(("wasi-http/outgoing-handler", _)) => {
            deny!(http2::outgoing_handler, WasiHttp, State::no_requests)
        }
        Some(("wasi-http/client", _)) => deny!(http3::client, WasiHttp, State::no_requests),
        Some(("wasi-sockets/tcp-create-socket", _)) => {
            deny!(p2::sockets::tcp_create_socket, WasiSockets, State::no_sockets)
        }
        Some(("wasi-sockets/udp-create-socket", _)) => {
            deny!(p2::sockets::udp_create_socket, WasiSockets, State::no_sockets)
        }
        Some(("wasi-sockets/types", _)) => {
            deny!(p3::sockets::types, WasiSockets, State::no_sockets)
        }
        Some(("wasi-sockets/ip-name-lookup", Wasi::P2)) => {
            deny!(p2::sockets::ip_name_lookup, WasiSockets, State::no_sockets)
        }
        Some(("wasi-sockets/ip-name-lookup", Wasi::P3)) => {
            deny!(ip_name_lookup, NoLookups, |state| state)
        }
        _ => Ok(()),
    }
}

/// The versions of WASI, each with its releases and release candidates.
enum Wasi {
    P2,
    P3,
}

/// The path of a renamed import, `wasi-http/client`, and its version of WASI.
fn original(import: &str) -> Option<(&str, Wasi)> {
    let (path, version) = import.strip_prefix(NAMESPACE)?.split_once('@')?;
    let (_, path) = path.split_once('-')?;
    Some((path, if version.starts_with("0.2.") { Wasi::P2 } else { Wasi::P3 }))
}

impl GuestState {
    fn nothing(&mut self) -> WasiCliCtxView<'_> {
        let (wasi, table) = self.without_rights();
        WasiCliCtxView { ctx: wasi.cli(), table }
    }

    fn no_sockets(&mut self) -> WasiSocketsCtxView<'_> {
        let (wasi, table) = self.without_rights();
        WasiSocketsCtxView { ctx: wasi.sockets(), table }
    }

    fn no_requests(&mut self) -> WasiHttpCtxView<'_> {
        let (ctx, table, hooks) = (&mut self.http, &mut self.table, &mut self.no_requests);
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

/// Variables, of which there are none.
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

/// Outgoing HTTP requests, all of which are denied.
pub(crate) struct NoRequests;

type IoFuture = Box<dyn Future<Output = Result<(), HttpError>> + Send>;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: IoFuture,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, IoFuture), HttpError>> + Send> {
        Box::new(async { Err(HttpError::HttpRequestDenied) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_inherited_gets_another_name() {
        let some = |right: &str| Inherit::Some(vec![right.into()]);
        let denied = "denied:d1-wasi-sockets/types@0.3.0";
        let import = |name, inherit: Inherit| import(name, 1, &inherit);
        let sockets = "wasi:sockets/types@0.3.0";
        assert_eq!(import(sockets, Inherit::default()).as_deref(), Some(denied));
        assert_eq!(import(sockets, some("variables")).as_deref(), Some(denied));
        assert_eq!(import(sockets, some("allowed_outbound_hosts")), None);
        assert_eq!(import(sockets, Inherit::All), None);
        assert_eq!(import("wasi:clocks/monotonic-clock@0.2.6", Inherit::default()), None);
    }
}
