//! The host's state for one instance.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::files::ReadableFolders;
use crate::memory::MemoryCap;
use crate::outbound::{DeniedRequests, Outbound};
use crate::output::Output;
use spin_app::allowed_hosts::AllowedHosts;

/// The most resources of an instance at once: sockets, streams, requests, answers. Creating one
/// more traps.
const RESOURCES_MAX: usize = 10_000;

/// The data of a [`Store`]: the permissions and resources of one instance.
pub struct GuestState {
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    outbound: Outbound,
    memory: MemoryCap,
    /// The values of the component's Spin variables.
    pub(crate) variables: Arc<BTreeMap<String, String>>,
    /// The addresses that the component may connect to.
    pub(crate) allowed: Arc<AllowedHosts>,
    /// Set when the guest yields in the middle of its work.
    pub(crate) yielded: Arc<AtomicBool>,
    /// For dependencies that do not inherit permissions.
    pub(crate) without_rights: Option<Box<WasiCtx>>,
    /// For dependencies that do not inherit permissions.
    pub(crate) denied_requests: DeniedRequests,
    /// The names of WASI 0.2 lookups in progress, by resource.
    pub(crate) lookups: HashMap<u32, String>,
    shared: Shared,
    key_value_stores: Arc<[String]>,
}

/// What the capabilities of the program share with their functions.
pub(crate) type Shared = Arc<[Arc<dyn Any + Send + Sync>]>;

impl GuestState {
    /// Whether the guest ever requested more memory than the limit.
    pub fn hit_memory_cap(&self) -> bool {
        self.memory.was_hit()
    }

    /// The id of the component.
    pub fn component(&self) -> &Arc<str> {
        &self.outbound.component
    }

    /// The value of one of the component's Spin variables; `None` if it declares no such variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The values of the component's Spin variables.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The labels of the key-value stores that the component may open.
    pub fn key_value_stores(&self) -> &[String] {
        &self.key_value_stores
    }

    /// The addresses that the component may connect to.
    pub fn allowed_hosts(&self) -> &Arc<AllowedHosts> {
        &self.allowed
    }

    /// The resources of the instance.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// What a capability of the program shares with its functions.
    pub fn shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.shared.iter().find_map(|shared| shared.clone().downcast().ok())
    }

    /// The state for outgoing requests.
    pub(crate) fn outbound(&self) -> &Outbound {
        &self.outbound
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// The configuration with which every instance of one component starts.
#[derive(Clone)]
pub(crate) struct StateTemplate {
    pub environment: Arc<Vec<(String, String)>>,
    pub variables: Arc<BTreeMap<String, String>>,
    pub allowed: Arc<AllowedHosts>,
    pub outbound: Outbound,
    pub output: Output,
    pub memory_bytes_max: usize,
    pub files: Arc<ReadableFolders>,
    pub shared: Shared,
    pub key_value_stores: Arc<[String]>,
}

impl StateTemplate {
    /// Creates a store for a new instance. It is interrupted at every epoch tick, so that other
    /// tasks can run.
    pub fn store(&self, engine: &Engine) -> Store<GuestState> {
        let mut store = Store::new(engine, self.state());
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        // tokio's own yield also lets the runtime poll for network events before the guest
        // continues.
        store.epoch_deadline_callback(|store| {
            store.data().yielded.store(true, Ordering::Relaxed);
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }

    fn state(&self) -> GuestState {
        GuestState {
            table: table(),
            wasi: self.wasi(),
            http: WasiHttpCtx::new(),
            outbound: self.outbound.clone(),
            memory: MemoryCap::new(self.memory_bytes_max),
            variables: self.variables.clone(),
            allowed: self.allowed.clone(),
            yielded: Arc::default(),
            without_rights: None,
            denied_requests: DeniedRequests,
            lookups: HashMap::new(),
            shared: self.shared.clone(),
            key_value_stores: self.key_value_stores.clone(),
        }
    }

    fn wasi(&self) -> WasiCtx {
        let allowed = self.allowed.clone();
        let check = move |address, reason| {
            let scheme = match reason {
                SocketAddrUse::TcpConnect => Some("tcp"),
                SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => Some("udp"),
                // An implicit bind to any free port precedes each of the uses above.
                SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => None,
                _ => return Box::pin(async { false }) as _,
            };
            let permitted = scheme
                .map_or(is_implicit_bind(address), |scheme| allowed.allows_socket(scheme, address));
            if let (Some(scheme), false) = (scheme, permitted) {
                tracing::warn!(
                    "socket refused; add \"{scheme}://{address}\" to allowed_outbound_hosts"
                );
            }
            Box::pin(async move { permitted }) as _
        };
        let mut wasi = WasiCtxBuilder::new()
            .stdout(self.output.stdout.clone())
            .stderr(self.output.stderr.clone())
            .envs(&self.environment)
            .allow_tcp(true)
            .allow_udp(true)
            // Each name is checked at its lookup, in `lookup`.
            .allow_ip_name_lookup(true)
            .socket_addr_check(check)
            .build();
        *wasi.filesystem() = self.files.filesystem();
        wasi
    }
}

/// A table with a limit for the resources of a guest.
fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(RESOURCES_MAX);
    table
}

/// Whether a bind only requests a free port from the operating system, as a connecting socket does.
fn is_implicit_bind(address: std::net::SocketAddr) -> bool {
    address.ip().is_unspecified() && address.port() == 0
}
