//! What a dependency does not inherit: its imports are renamed when it is composed, and what
//! stands behind the new names denies every call, as Spin's does.

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

use crate::app::Inherit;
use crate::compose::without_version;
use crate::linker::{store, variables2, variables3};
use crate::state::GuestState;

/// Spin's names for what a dependency may inherit.
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

/// The right to reach hosts.
pub(crate) const NETWORK: &str = "allowed_outbound_hosts";

/// Interfaces that give something of the outside, and the right that each one needs.
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
    // Of WASI 0.3, whose sockets make themselves; in 0.2 there are other interfaces for it.
    ("wasi:sockets/types", NETWORK),
];

/// The name of an import that is denied, in place of `import`; none if it may stay.
pub(crate) fn import(import: &str, dependency: usize, inherit: &Inherit) -> Option<String> {
    let path = without_version(import);
    let (_, right) = GUARDED.iter().find(|(guarded, _)| *guarded == path)?;
    (!inherit.has(right)).then(|| renamed(import, dependency))
}

/// `wasi:http/client@0.3.0` as `denied:d1-wasi-http/client@0.3.0`. Each dependency has names of
/// its own: of an interface a component imports only the functions that it calls, so that the
/// import of one is not enough for another.
fn renamed(import: &str, dependency: usize) -> String {
    format!("{NAMESPACE}d{dependency}-{}", import.replacen(':', "-", 1))
}

/// Whether the import is one of those.
pub(crate) fn is_denied(import: &str) -> bool {
    import.starts_with(NAMESPACE)
}

/// Defines a renamed import as what denies every call.
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

/// A version of WASI, with its releases and release candidates.
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

    /// A WASI context with no rights, made when it is first needed.
    fn without_rights(&mut self) -> (&mut WasiCtx, &mut ResourceTable) {
        let wasi = self.without_rights.get_or_insert_with(|| {
            Box::new(WasiCtx::builder().allow_tcp(false).allow_udp(false).build())
        });
        (wasi, &mut self.table)
    }
}

/// No variables.
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

/// No look-ups; a context without rights would not say why.
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

/// No requests.
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
