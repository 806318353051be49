//! Opens a TCP connection, and determines the cause if this fails.

use std::net::IpAddr;

use spin_sdk::wasip3::sockets::ip_name_lookup::{self, resolve_addresses};
use spin_sdk::wasip3::sockets::types::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
    TcpSocket,
};

use crate::Error;

/// Time between two keep-alive probes of an idle connection, in nanoseconds.
const PROBE_NS: u64 = 5_000_000_000;

/// Number of unanswered keep-alive probes after which the connection is closed.
const PROBES: u32 = 2;

/// Connects to the first of the host's addresses that answers.
pub async fn dial(host: &str, port: u16) -> Result<TcpSocket, Error> {
    let mut last = None;
    for ip in addresses(host, port).await? {
        match connect(ip, port).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(ErrorCode::AccessDenied) => {
            Error::Denied(format!("{host}:{port} is not allowed; {}", advice(host, port)))
        }
        Some(error) => Error::Unreachable(format!("{host}:{port} does not answer: {error}")),
        None => Error::Unreachable(format!("the name {host} has no address")),
    })
}

fn advice(host: &str, port: u16) -> String {
    format!("add \"tcp://{host}:{port}\" to the component's allowed_outbound_hosts")
}

async fn addresses(host: &str, port: u16) -> Result<Vec<IpAddress>, Error> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![literal(ip)]);
    }
    resolve_addresses(host.to_owned()).await.map_err(|error| match error {
        ip_name_lookup::ErrorCode::AccessDenied => {
            Error::Denied(format!("the look-up of {host} was refused; {}", advice(host, port)))
        }
        // Spin returns this for every name look-up of a component with sockets.
        ip_name_lookup::ErrorCode::PermanentResolverFailure => Error::Denied(format!(
            "the look-up of {host} failed permanently; Spin does not resolve names for sockets, \
             so use an IP address there"
        )),
        error => Error::Unreachable(format!("the look-up of {host} failed: {error}")),
    })
}

fn literal(ip: IpAddr) -> IpAddress {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            IpAddress::Ipv4((a, b, c, d))
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h] = ip.segments();
            IpAddress::Ipv6((a, b, c, d, e, f, g, h))
        }
    }
}

async fn connect(ip: IpAddress, port: u16) -> Result<TcpSocket, ErrorCode> {
    let (family, remote) = match ip {
        IpAddress::Ipv4(address) => {
            (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }))
        }
        IpAddress::Ipv6(address) => (
            IpAddressFamily::Ipv6,
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, address, flow_info: 0, scope_id: 0 }),
        ),
    };
    let socket = TcpSocket::create(family)?;
    keep_alive(&socket);
    socket.connect(remote).await?;
    Ok(socket)
}

/// Enables keep-alive probes, so that a peer that has disappeared is noticed. WASI sockets have no
/// timeout for bytes that are not acknowledged, so callers that wait for an answer need their own
/// limit. Errors are ignored: a connection without probes is better than none.
fn keep_alive(socket: &TcpSocket) {
    let _ = socket.set_keep_alive_idle_time(PROBE_NS);
    let _ = socket.set_keep_alive_interval(PROBE_NS);
    let _ = socket.set_keep_alive_count(PROBES);
    let _ = socket.set_keep_alive_enabled(true);
}
