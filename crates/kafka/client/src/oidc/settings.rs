//! The settings of an OpenID Connect provider.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Secret;

/// An OpenID Connect provider that issues tokens to this client (grant `client_credentials`).
/// Unknown settings are an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcSettings {
    /// The provider's issuer URL. The token endpoint is read from its
    /// `/.well-known/openid-configuration`. Give either this or `token_url`.
    pub issuer: String,
    /// URL of the token endpoint.
    pub token_url: String,
    /// The client's id at the provider. Required.
    pub client_id: String,
    /// The client's secret at the provider. It is never printed. Required.
    pub client_secret: Option<Secret>,
    /// How the client sends its id and secret: `basic` in the header `Authorization`, `post` in the
    /// body of the request. Default `basic`.
    pub client_auth: ClientAuth,
    /// Scopes to request, separated by blanks. If it is empty, the provider decides.
    pub scope: String,
    /// The audience to request, if the provider expects that parameter.
    pub audience: String,
    /// Further parameters of the token request. Their values are never printed.
    pub parameters: BTreeMap<String, Secret>,
    /// PEM certificates of the authorities that sign the provider's certificate. If it is empty,
    /// those of the system are used.
    pub ca: String,
    /// Whether the provider may have an `http://` URL, over which secret and token are not
    /// encrypted. Such a URL on the loopback interface is always allowed. Default `false`.
    pub allow_http: bool,
}

/// How a client authenticates itself at the token endpoint (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClientAuth {
    /// HTTP Basic authentication.
    #[default]
    Basic,
    /// Parameters in the body of the request.
    Post,
}

impl OidcSettings {
    /// Whether a provider is configured. The settings may be variables that are all empty.
    pub fn is_set(&self) -> bool {
        [&self.issuer, &self.token_url, &self.client_id].iter().any(|setting| !setting.is_empty())
    }
}
