//! A test dependency that tries to use every capability of the host.

use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};

use bindings::exports::tests::capabilities::probe::Guest;
use spin_sdk::wasip3::sockets::ip_name_lookup::resolve_addresses;
use spin_sdk::wasip3::sockets::types::{
    IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket,
};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "tests:capabilities/dependency",
        path: "wit",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::CapabilityProbe;
    export!(CapabilityProbe);
}

/// The name of the variable, also in the environment, with the address of the test's server.
const ADDRESS: &str = "address";

struct CapabilityProbe;

impl Guest for CapabilityProbe {
    async fn look(at: String) -> String {
        match at.as_str() {
            "variables" => format!("{:?}", spin_sdk::variables::get(ADDRESS).await),
            "environment" => format!("{:?}", std::env::var(ADDRESS)),
            "files" => format!("{:?}", std::fs::metadata(FILE).map(|data| data.is_file())),
            "http" => format!("{:?}", spin_sdk::http::get(format!("http://{}/", HOST)).await.err()),
            "socket" => socket().await,
            "lookup" => format!("{:?}", resolve_addresses("localhost".into()).await),
            "std-socket" => format!("{:?}", TcpStream::connect(HOST).err().map(|e| e.kind())),
            "std-udp" => format!("{:?}", UdpSocket::bind("0.0.0.0:0").map_err(|e| e.kind())),
            "std-lookup" => format!("{:?}", ("localhost", 1).to_socket_addrs().is_ok()),
            _ => "nothing".into(),
        }
    }
}

/// A file that the test gives to the component.
const FILE: &str = "/folder/file";

/// No server listens on this address: an allowed connection is refused by the operating system.
const HOST: &str = "127.0.0.1:1";

async fn socket() -> String {
    let address = Ipv4SocketAddress { port: 1, address: (127, 0, 0, 1) };
    match TcpSocket::create(IpAddressFamily::Ipv4) {
        Ok(socket) => format!("{:?}", socket.connect(IpSocketAddress::Ipv4(address)).await),
        Err(error) => format!("{error:?}"),
    }
}
