//! TLS, with the OpenSSL that the Kafka client also uses.

use std::io;

use native_tls::Certificate;
use tokio::net::TcpStream;
use tokio_native_tls::{TlsConnector, TlsStream};

/// The settings for TLS. The name in the server's certificate must be the host's.
#[derive(Debug, Clone)]
pub struct Tls {
    connector: TlsConnector,
}

impl Tls {
    /// Trusts these authorities, in PEM; if there are none, those of the system.
    pub fn new(authorities: &str) -> Result<Self, String> {
        let mut builder = native_tls::TlsConnector::builder();
        if !authorities.trim().is_empty() {
            let certificates = Certificate::stack_from_pem(authorities.as_bytes())
                .map_err(|error| format!("the certificates are not valid PEM: {error}"))?;
            if certificates.is_empty() {
                return Err("there is no certificate in it".into());
            }
            builder.disable_built_in_roots(true);
            for certificate in certificates {
                builder.add_root_certificate(certificate);
            }
        }
        let connector = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { connector: connector.into() })
    }

    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let connecting = self.connector.connect(host, stream).await;
        connecting.map_err(|error| io::Error::other(format!("TLS: {error}")))
    }
}
