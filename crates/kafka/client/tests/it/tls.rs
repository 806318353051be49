//! TLS in front of a server.

use std::net::Ipv4Addr;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_native_tls::TlsAcceptor;

/// Accepts TLS connections, and forwards them to the server with this `http://` URL. Returns the
/// port and the certificate, which is valid for 127.0.0.1.
pub async fn forward_to(url: &str) -> (u16, String) {
    let address = url.trim_start_matches("http://").to_owned();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = signing_key.serialize_pem();
    let identity = native_tls::Identity::from_pkcs8(cert.pem().as_bytes(), key.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(native_tls::TlsAcceptor::new(identity).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut client) = acceptor.accept(client).await else { continue };
            let mut server = TcpStream::connect(&address).await.unwrap();
            // The connection ends with an error if a side closes it without a TLS alert.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    });
    (port, cert.pem())
}
