//! Name lookups of guests, in both versions of WASI, checked against the manifest.

use std::net::IpAddr;

use wasmtime::component::{Accessor, HasData, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup as lookup2, network as network2};
use wasmtime_wasi::p2::{DynPollable, SocketError};
use wasmtime_wasi::p3::bindings::sockets::{ip_name_lookup as lookup3, types as types3};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView};

use crate::state::GuestState;

/// Implements name lookups. Names that no entry of `allowed_outbound_hosts` matches are refused.
pub(crate) struct CheckedLookup;

impl HasData for CheckedLookup {
    type Data<'a> = &'a mut GuestState;
}

impl GuestState {
    fn sockets(&mut self) -> WasiSocketsCtxView<'_> {
        let view = self.ctx();
        WasiSocketsCtxView { ctx: view.ctx.sockets(), table: view.table }
    }

    fn check_lookup(&self, name: &str) -> bool {
        let permitted = name.parse::<IpAddr>().is_ok() || self.allowed.allows_lookup(name);
        if !permitted {
            tracing::warn!(
                name,
                "name look-up refused; add \"tcp://{name}:PORT\" to allowed_outbound_hosts"
            );
        }
        permitted
    }
}

impl lookup3::Host for &mut GuestState {}

impl lookup3::HostWithStore<GuestState> for CheckedLookup {
    async fn resolve_addresses(
        accessor: &Accessor<GuestState, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<types3::IpAddress>, lookup3::ErrorCode>> {
        if !accessor.with(|mut access| access.get().check_lookup(&name)) {
            return Ok(Err(lookup3::ErrorCode::AccessDenied));
        }
        let sockets = accessor.with_getter::<WasiSockets>(GuestState::sockets);
        let answer = <WasiSockets as lookup3::HostWithStore<GuestState>>::resolve_addresses(
            &sockets,
            name.clone(),
        )
        .await?;
        if let Ok(addresses) = &answer {
            accessor.with(|mut access| {
                for address in addresses {
                    access.get().allowed.remember(&name, ip3(address));
                }
            });
        }
        Ok(answer)
    }
}

fn ip3(address: &types3::IpAddress) -> IpAddr {
    match *address {
        types3::IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        types3::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

fn ip2(address: &network2::IpAddress) -> IpAddr {
    match *address {
        network2::IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        network2::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
            IpAddr::from([a, b, c, d, e, f, g, h])
        }
    }
}

impl network2::Host for GuestState {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network2::ErrorCode> {
        network2::Host::convert_error_code(&mut self.sockets(), error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<network2::ErrorCode>> {
        network2::Host::network_error_code(&mut self.sockets(), error)
    }
}

impl network2::HostNetwork for GuestState {
    fn drop(&mut self, network: Resource<network2::Network>) -> wasmtime::Result<()> {
        network2::HostNetwork::drop(&mut self.sockets(), network)
    }
}

impl lookup2::Host for GuestState {
    fn resolve_addresses(
        &mut self,
        network: Resource<network2::Network>,
        name: String,
    ) -> Result<Resource<lookup2::ResolveAddressStream>, SocketError> {
        if !self.check_lookup(&name) {
            return Err(network2::ErrorCode::AccessDenied.into());
        }
        let stream = lookup2::Host::resolve_addresses(&mut self.sockets(), network, name.clone())?;
        self.lookups.insert(stream.rep(), name);
        Ok(stream)
    }
}

impl lookup2::HostResolveAddressStream for GuestState {
    fn resolve_next_address(
        &mut self,
        stream: Resource<lookup2::ResolveAddressStream>,
    ) -> Result<Option<network2::IpAddress>, SocketError> {
        let rep = stream.rep();
        let next =
            lookup2::HostResolveAddressStream::resolve_next_address(&mut self.sockets(), stream)?;
        if let (Some(address), Some(name)) = (&next, self.lookups.get(&rep)) {
            self.allowed.remember(name, ip2(address));
        }
        Ok(next)
    }

    fn subscribe(
        &mut self,
        stream: Resource<lookup2::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        lookup2::HostResolveAddressStream::subscribe(&mut self.sockets(), stream)
    }

    fn drop(&mut self, stream: Resource<lookup2::ResolveAddressStream>) -> wasmtime::Result<()> {
        self.lookups.remove(&stream.rep());
        lookup2::HostResolveAddressStream::drop(&mut self.sockets(), stream)
    }
}
