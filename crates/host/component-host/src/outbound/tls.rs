//! TLS of outgoing requests: the certificates that the host trusts, and connections.

use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::Uri;
use futures::future::BoxFuture;
use hyper_tls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use native_tls::{Certificate, Identity, TlsConnector};
use tokio::net::TcpStream;
use tower_service::Service;
use wasmtime_wasi_http::Error as HttpError;

/// The versions of HTTP that are offered to servers.
const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// How some components connect to some hosts: a `[[client_tls]]` of Spin's runtime configuration.
#[derive(Clone)]
pub struct ClientTls {
    /// The ids of the components.
    pub components: Vec<String>,
    /// The names of the hosts: `example.com`, `*.example.com` or `*`.
    pub hosts: Vec<String>,
    /// Whether the authorities that the operating system trusts are trusted.
    pub use_platform_roots: bool,
    /// The certificates of other trusted authorities, as PEM.
    pub roots: Vec<u8>,
    /// The certificate of the client and its key, as PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl ClientTls {
    /// Whether this applies to the requests of a component to a host.
    pub(super) fn applies(&self, component: &str, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let fits = |pattern: &String| match pattern.strip_prefix('*') {
            Some(domain) => host.len() > domain.len() && host.ends_with(domain),
            None => host == *pattern,
        };
        self.components.iter().any(|id| id == component) && self.hosts.iter().any(fits)
    }

    /// Checks the lists, the certificates and the key. Names of hosts are compared in lower case.
    pub fn check(&mut self) -> Result<(), String> {
        if self.components.is_empty() || self.hosts.is_empty() {
            return Err("component_ids and hosts must not be empty".into());
        }
        for host in &mut self.hosts {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let is_name = name.parse::<IpAddr>().is_ok()
                || !name.is_empty()
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if *host != "*" && !is_name {
                return Err(format!(
                    "hosts: `{host}` must be a name or an IP address without scheme, port and \
                     brackets, `*.example.com`, or `*`"
                ));
            }
            host.make_ascii_lowercase();
        }
        connector(Some(self)).map(drop)
    }
}

/// Connects over TLS. Without `config`, only the authorities of the operating system are trusted.
pub(super) fn connector(config: Option<&ClientTls>) -> Result<TlsConnector, String> {
    let mut builder = TlsConnector::builder();
    builder.request_alpns(&ALPN);
    if let Some(config) = config {
        builder.disable_built_in_roots(!config.use_platform_roots);
        let roots = Certificate::stack_from_pem(&config.roots);
        let roots = roots.map_err(|error| format!("the certificates of authorities: {error}"))?;
        if roots.is_empty() && !config.use_platform_roots {
            return Err("no certificate of an authority is trusted".into());
        }
        for root in roots {
            builder.add_root_certificate(root);
        }
        if let Some((certificate, key)) = &config.identity {
            let identity = Identity::from_pkcs8(certificate, key);
            builder.identity(identity.map_err(|error| format!("the client's key: {error}"))?);
        }
    }
    builder.build().map_err(|error| error.to_string())
}

/// Connects to `http` and `https` URLs within a time limit.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl Connector {
    /// `http` must accept `https` URLs, too.
    pub fn new(http: HttpConnector, tls: TlsConnector, limit: Duration) -> Self {
        Self { inner: (http, tls.into()).into(), limit }
    }
}

type ConnectError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.limit, self.inner.call(uri));
        Box::pin(async move {
            let timed_out = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
            connecting.await.map_err(timed_out)?
        })
    }
}

/// Why a handshake failed.
pub(super) fn failure(error: &native_tls::Error) -> HttpError {
    // The library has no type for this. The text is that of OpenSSL.
    if error.to_string().contains("certificate verify failed") {
        HttpError::TlsCertificateError
    } else {
        HttpError::TlsProtocolError
    }
}
