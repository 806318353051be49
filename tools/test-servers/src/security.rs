//! The listeners of a broker with authentication.

use std::fmt::{self, Write as _};

use anyhow::Result;

use child_server::free_port;

/// Users, certificates and listeners of a secured broker. The broker opens every [`Listener`] in
/// addition to the plaintext one. Its users have the permissions that access lists grant; clients
/// of the plaintext listener may do everything.
#[derive(Clone)]
pub struct Security {
    /// Names and passwords, for PLAIN and SCRAM. They may contain letters, digits, `-` and `_`.
    pub users: Vec<(String, String)>,
    /// The certificate authority for client certificates, as PEM.
    pub authority: String,
    /// The broker's certificate, as PEM. It must be valid for 127.0.0.1.
    pub certificate: String,
    /// The certificate's key, as PEM (PKCS #8).
    pub key: String,
}

/// The issuer of the tokens that a secured broker accepts for OAUTHBEARER. The broker gets the keys
/// from the issuer.
#[derive(Debug, Clone)]
pub struct TokenIssuer {
    /// The issuer, as in the tokens.
    pub issuer: String,
    /// URL of the JSON Web Key Set.
    pub keys_url: String,
    /// The audience that a token must have.
    pub audience: String,
}

impl fmt::Debug for Security {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<&str> = self.users.iter().map(|(name, _)| name.as_str()).collect();
        formatter.debug_struct("Security").field("users", &users).finish_non_exhaustive()
    }
}

/// A listener of a secured broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// SASL in plain text: PLAIN, SCRAM and OAUTHBEARER (with the tokens of a [`TokenIssuer`], or
    /// else with tokens without a signature).
    Sasl,
    /// The same over TLS.
    SaslTls,
    /// TLS without authentication of the client, which may do everything.
    Tls,
    /// TLS, with the user in the client's certificate.
    MutualTls,
}

impl Listener {
    const ALL: [Self; 4] = [Self::Sasl, Self::SaslTls, Self::Tls, Self::MutualTls];

    /// The listener's name and Kafka's name of its protocol.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Sasl => ("SASL", "SASL_PLAINTEXT"),
            Self::SaslTls => ("SASLTLS", "SASL_SSL"),
            Self::Tls => ("TLS", "SSL"),
            Self::MutualTls => ("MUTUALTLS", "SSL"),
        }
    }
}

/// A [`Security`] with the ports of its listeners.
#[derive(Debug, Clone)]
pub(crate) struct Secured {
    security: Security,
    token_issuer: Option<TokenIssuer>,
    ports: Vec<(Listener, u16)>,
}

impl Secured {
    pub fn new(security: Security, token_issuer: Option<TokenIssuer>) -> Result<Self> {
        let ports = Listener::ALL.into_iter().map(|listener| Ok((listener, free_port()?)));
        Ok(Self { security, token_issuer, ports: ports.collect::<Result<_>>()? })
    }

    /// The JVM options of the broker. Kafka connects only to URLs that such an option contains.
    pub fn jvm_options(&self) -> Option<String> {
        let TokenIssuer { keys_url, .. } = self.token_issuer.as_ref()?;
        Some(format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys_url}"))
    }

    pub fn port(&self, listener: Listener) -> Option<u16> {
        self.ports.iter().find(|(known, _)| *known == listener).map(|(_, port)| *port)
    }

    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().map(|(_, port)| *port)
    }

    /// The additional entries of the property `listeners`, each after a comma.
    pub fn listeners(&self) -> String {
        self.ports.iter().fold(String::new(), |mut list, (listener, port)| {
            let _ = write!(list, ",{}://127.0.0.1:{port}", listener.names().0);
            list
        })
    }

    /// The additional entries of the property that maps listeners to protocols, each after a comma.
    pub fn protocols(&self) -> String {
        self.ports.iter().fold(String::new(), |mut list, (listener, _)| {
            let (name, protocol) = listener.names();
            let _ = write!(list, ",{name}:{protocol}");
            list
        })
    }

    /// The additional properties of the broker.
    pub fn properties(&self) -> String {
        let mut lines = vec![
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".into(),
            "super.users=User:ANONYMOUS".into(),
            "ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/".into(),
        ];
        for (listener, _) in &self.ports {
            let (name, _) = listener.names();
            let settings = match listener {
                Listener::Sasl => self.sasl(),
                Listener::SaslTls => [self.sasl(), self.tls("none")].concat(),
                Listener::Tls => self.tls("none"),
                Listener::MutualTls => self.tls("required"),
            };
            let prefix = format!("listener.name.{}", name.to_lowercase());
            lines.extend(settings.iter().map(|setting| format!("{prefix}.{setting}")));
        }
        lines.join("\n")
    }

    fn sasl(&self) -> Vec<String> {
        const MODULES: &str = "org.apache.kafka.common.security";
        let users =
            self.security.users.iter().fold(String::new(), |mut users, (name, password)| {
                let _ = write!(users, " user_{name}=\"{password}\"");
                users
            });
        let scram = format!("{MODULES}.scram.ScramLoginModule required;");
        let mut settings = vec![
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".into(),
            format!("plain.sasl.jaas.config={MODULES}.plain.PlainLoginModule required{users};"),
            format!("scram-sha-256.sasl.jaas.config={scram}"),
            format!("scram-sha-512.sasl.jaas.config={scram}"),
        ];
        let tokens = format!("{MODULES}.oauthbearer");
        let module =
            format!("oauthbearer.sasl.jaas.config={tokens}.OAuthBearerLoginModule required");
        let validator = "oauthbearer.sasl.server.callback.handler.class";
        match &self.token_issuer {
            None => settings.extend([
                format!("{module} unsecuredLoginStringClaim_sub=\"broker\";"),
                format!(
                    "{validator}={tokens}.internals.unsecured.\
                     OAuthBearerUnsecuredValidatorCallbackHandler"
                ),
            ]),
            Some(TokenIssuer { issuer, keys_url, audience }) => settings.extend([
                format!("{module};"),
                format!("{validator}={tokens}.OAuthBearerValidatorCallbackHandler"),
                format!("oauthbearer.sasl.oauthbearer.jwks.endpoint.url={keys_url}"),
                format!("oauthbearer.sasl.oauthbearer.expected.issuer={issuer}"),
                format!("oauthbearer.sasl.oauthbearer.expected.audience={audience}"),
                // An expired token is refused, and a connection is closed if it does not
                // authenticate again before its token expires (KIP-368).
                "oauthbearer.sasl.oauthbearer.clock.skew.seconds=0".into(),
                "oauthbearer.connections.max.reauth.ms=3600000".into(),
            ]),
        }
        settings
    }

    fn tls(&self, client_certificate: &str) -> Vec<String> {
        // Each property is a single line: line ends are escaped in the way that Java reads them.
        let line = |pem: &str| pem.trim().lines().collect::<Vec<_>>().join("\\n");
        let Security { authority, certificate, key, .. } = &self.security;
        vec![
            format!("ssl.client.auth={client_certificate}"),
            "ssl.keystore.type=PEM".into(),
            format!("ssl.keystore.certificate.chain={}", line(certificate)),
            format!("ssl.keystore.key={}", line(key)),
            "ssl.truststore.type=PEM".into(),
            format!("ssl.truststore.certificates={}", line(authority)),
        ]
    }

    /// The arguments of the tool that formats the broker's folder. They contain the SCRAM users.
    pub fn format_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        for (name, password) in &self.security.users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                args.push("--add-scram".into());
                args.push(format!("{mechanism}=[name={name},password={password}]"));
            }
        }
        args
    }
}
