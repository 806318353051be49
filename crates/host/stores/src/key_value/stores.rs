//! The stores by label, and where they are.

use std::collections::BTreeMap;

use component_host::GuestState;
use valkey_client::Client;
use valkey_codec::Servers;

use super::bindings::v3::Error;
use super::store::Store;
use crate::clients::Clients;

/// The label of the store that needs no configuration.
const DEFAULT: &str = "default";

/// The Spin variable of a component with the URL of the application's Valkey server.
const VALKEY_URL: &str = "valkey_url";

/// The characters of a label. The names of keys in Valkey begin with it.
fn is_label(label: &str) -> bool {
    !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// The stores of all components.
pub(super) struct Stores {
    /// The URL of the server of each label, or why it cannot be used.
    configured: BTreeMap<String, Result<String, String>>,
    clients: Clients,
}

impl Stores {
    pub fn new(configured: BTreeMap<String, Result<String, String>>) -> Self {
        Self { configured, clients: Clients::default() }
    }

    /// The URL of the server of a store. Without configuration, the store `default` is on the Valkey
    /// server of the component's variable.
    fn url<'a>(
        &'a self,
        label: &str,
        variables: &'a BTreeMap<String, String>,
    ) -> Result<&'a str, String> {
        if !is_label(label) {
            return Err(format!(
                "key_value_stores: `{label}` must consist of letters, digits, - and _"
            ));
        }
        match (self.configured.get(label), variables.get(VALKEY_URL)) {
            (Some(Ok(url)), _) => Ok(url),
            (Some(Err(reason)), _) => Err(format!("key_value_stores: `{label}`: {reason}")),
            (None, Some(url)) if label == DEFAULT => Ok(url),
            (None, _) => Err(format!(
                "key_value_stores: the store `{label}` is not configured; add [key_value_store.{label}] \
                 with type = \"redis\" and url = \"redis://HOST:PORT\" to the runtime configuration file"
            )),
        }
    }

    /// Opens a store for a component.
    pub fn open(state: &GuestState, label: &str) -> Result<Store, Error> {
        if !state.key_value_stores().iter().any(|allowed| allowed == label) {
            return Err(Error::AccessDenied);
        }
        let stores = state.shared::<Self>().ok_or(Error::NoSuchStore)?;
        let url = stores.url(label, state.variables()).map_err(Error::Other)?;
        // The operator has configured the server, or the component's own variable names it.
        let create = |url: &str| Client::new(servers(label, url)?, "", |_, _| true);
        let client = stores.clients.get(state.component(), url.into(), create);
        Ok(Store::new(client.map_err(Error::Other)?.ok_or(Error::StoreTableFull)?, label))
    }

    /// Checks whether the server of a store is known, and its URL.
    pub fn check(&self, label: &str, variables: &BTreeMap<String, String>) -> Result<(), String> {
        servers(label, self.url(label, variables)?).map(drop)
    }
}

/// The servers of a URL. The error does not quote it, because it may contain a password.
fn servers(label: &str, url: &str) -> Result<Servers, String> {
    Servers::parse(url).map_err(|error| format!("key_value_stores: `{label}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_where_the_configuration_says() {
        let configured = [
            ("default", Ok("redis://configured".to_owned())),
            ("wrong", Err("the type `spin` is not supported".to_owned())),
        ];
        let configured = configured.map(|(label, url)| (label.to_owned(), url)).into();
        let (stores, none) = (Stores::new(configured), Stores::new(BTreeMap::new()));
        let own = BTreeMap::from([(VALKEY_URL.to_owned(), "redis://own".to_owned())]);
        let nothing = BTreeMap::new();
        assert_eq!(stores.url(DEFAULT, &own), Ok("redis://configured"));
        assert_eq!(none.url(DEFAULT, &own), Ok("redis://own"));
        for (stores, label, expected) in [
            (&stores, "wrong", "`spin`"),
            (&stores, "other", "[key_value_store.other]"),
            (&none, DEFAULT, "[key_value_store.default]"),
            (&stores, "a*", "letters"),
            (&stores, "", "letters"),
        ] {
            let variables = if label == "other" { &own } else { &nothing };
            let fault = stores.url(label, variables).unwrap_err();
            assert!(fault.contains(expected), "{fault}");
        }
        none.check(DEFAULT, &own).unwrap();
        let wrong = BTreeMap::from([(VALKEY_URL.to_owned(), "http://:hunter2@h".to_owned())]);
        let fault = none.check(DEFAULT, &wrong).unwrap_err();
        assert!(fault.contains("`default`") && !fault.contains("hunter2"), "{fault}");
    }
}
