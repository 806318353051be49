//! Checks the settings of a provider.

use reqwest::{Certificate, Url};
use url::Host;

use super::OidcSettings;
use crate::{Error, Secret};

/// Parameters of the token request that have a setting or that the client sets.
const OWNED_PARAMETERS: [&str; 5] =
    ["audience", "client_id", "client_secret", "grant_type", "scope"];

impl OidcSettings {
    /// Checks each setting. The error names the setting.
    pub fn validate(&self) -> Result<(), Error> {
        match (self.issuer.is_empty(), self.token_url.is_empty()) {
            (true, true) => Err(refused("token_url", "give either this or `issuer`")),
            (false, false) => Err(refused("issuer", "give either this or `token_url`")),
            (false, true) => self.url("issuer", &self.issuer),
            (true, false) => self.url("token_url", &self.token_url),
        }?;
        check("client_id", !self.client_id.is_empty(), "give the client's id")?;
        check("client_secret", !self.secret().is_empty(), "give the client's secret")?;
        for name in OWNED_PARAMETERS {
            if self.parameters.contains_key(name) {
                let reason = "the program sets it, or it has its own setting";
                return Err(refused(&format!("parameters.{name}"), reason));
            }
        }
        self.authorities().map(drop)
    }

    /// The client's secret; empty if none is set.
    pub(crate) fn secret(&self) -> &str {
        self.client_secret.as_ref().map(Secret::expose).unwrap_or_default()
    }

    /// The URL in this setting, if the client may connect to it.
    pub(crate) fn url(&self, setting: &str, text: &str) -> Result<Url, Error> {
        let url = Url::parse(text).map_err(|error| refused(setting, &error.to_string()))?;
        let is_http = url.scheme() == "http" && (is_loopback(&url) || self.allow_http);
        let scheme = is_http || url.scheme() == "https";
        check(setting, scheme, "must begin with https:// (see `oauth.allow_http`)")?;
        let user = url.username().is_empty() && url.password().is_none();
        check(setting, user, "must not contain a user or a password; see `oauth.client_id`")?;
        check(setting, url.fragment().is_none(), "must not have a fragment")?;
        Ok(url)
    }

    /// The certificates of `ca`.
    pub(crate) fn authorities(&self) -> Result<Vec<Certificate>, Error> {
        if self.ca.is_empty() {
            return Ok(Vec::new());
        }
        match Certificate::from_pem_bundle(self.ca.as_bytes()) {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            _ => Err(refused("ca", "give certificates as PEM")),
        }
    }
}

/// Whether the URL is on the loopback interface.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn check(setting: &str, holds: bool, reason: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(refused(setting, reason)) }
}

fn refused(setting: &str, reason: &str) -> Error {
    Error::setting(format!("oauth.{setting}"), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> OidcSettings {
        OidcSettings {
            token_url: "https://login.example/token".into(),
            client_id: "writer".into(),
            client_secret: Some("hunter2".to_owned().into()),
            ..OidcSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut OidcSettings)) -> String {
        let mut settings = valid();
        change(&mut settings);
        let error = settings.validate().unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        error
    }

    #[test]
    fn every_condition_is_checked_and_named() {
        valid().validate().unwrap();
        assert!(refused(|s| s.token_url.clear()).contains("oauth.token_url"));
        assert!(refused(|s| s.issuer = "https://login.example".into()).contains("oauth.issuer"));
        assert!(refused(|s| s.client_id.clear()).contains("oauth.client_id"));
        assert!(refused(|s| s.client_secret = None).contains("oauth.client_secret"));
        assert!(refused(|s| s.ca = "no certificate".into()).contains("oauth.ca"));
        for name in OWNED_PARAMETERS {
            let secret = Secret::from("hunter2".to_owned());
            let error = refused(|s| drop(s.parameters.insert(name.into(), secret)));
            assert!(error.contains(&format!("oauth.parameters.{name}")), "{error}");
        }
    }

    #[test]
    fn secrets_are_sent_over_tls_or_on_the_loopback_interface() {
        for url in ["http://127.0.0.1:1/token", "http://[::1]/token", "http://localhost/token"] {
            OidcSettings { token_url: url.into(), ..valid() }.validate().unwrap();
        }
        for url in [
            "http://login.example/token",
            "http://127.0.0.1.login.example/token",
            "ftp://login.example/token",
            "login.example/token",
            "https://writer:hunter2@login.example/token",
            "https://login.example/token#fragment",
        ] {
            assert!(refused(|s| s.token_url = url.into()).contains("oauth.token_url"), "{url}");
        }
        let token_url = "http://login.example/token".into();
        OidcSettings { token_url, allow_http: true, ..valid() }.validate().unwrap();
    }

    #[test]
    fn settings_that_are_all_empty_are_no_provider() {
        let empty = "issuer = ''\ntoken_url = ''\nclient_id = ''\nclient_secret = ''\nscope = ''";
        assert!(!toml::from_str::<OidcSettings>(empty).unwrap().is_set());
        assert!(toml::from_str::<OidcSettings>("client_id = 'writer'").unwrap().is_set());
        assert!(!format!("{:?}", valid()).contains("hunter2"));
    }
}
