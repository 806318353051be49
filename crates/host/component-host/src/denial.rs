//! Denies what a dependency does not inherit. The imports concerned are renamed when the dependency
//! is composed, and the linker defines the new names so that they deny every call, as in Spin.

use spin_app::app::Inherit;
use spin_app::interface::without_version;

/// Spin's names for the permissions that a dependency can inherit.
pub(crate) const RIGHTS: [&str; 7] = [
    "ai_models",
    "allowed_outbound_hosts",
    "environment",
    "files",
    "key_value_stores",
    "sqlite_databases",
    "variables",
];

/// The namespace of imports that are denied.
const NAMESPACE: &str = "denied:";

/// The permission to connect to hosts.
const NETWORK: &str = "allowed_outbound_hosts";

/// Interfaces with access to external resources, and the permission that each one needs.
const GUARDED: [(&str, &str); 11] = [
    ("fermyon:spin/variables", "variables"),
    ("spin:variables/variables", "variables"),
    ("wasi:cli/environment", "environment"),
    ("wasi:config/store", "variables"),
    ("wasi:filesystem/preopens", "files"),
    ("wasi:http/client", NETWORK),
    ("wasi:http/outgoing-handler", NETWORK),
    ("wasi:sockets/ip-name-lookup", NETWORK),
    ("wasi:sockets/tcp-create-socket", NETWORK),
    ("wasi:sockets/udp-create-socket", NETWORK),
    // For WASI 0.3, in which a socket is created by its own type. In 0.2 there are separate
    // interfaces for that.
    ("wasi:sockets/types", NETWORK),
];

/// The permission to open key-value stores.
const KEY_VALUE_STORES: &str = "key_value_stores";

/// The permission that a dependency needs for an interface that the program provides.
pub(crate) fn right_for_capability(import: &str) -> &'static str {
    let stores = ["spin:key-value/", "wasi:keyvalue/", "fermyon:spin/key-value@"];
    if stores.iter().any(|start| import.starts_with(start)) { KEY_VALUE_STORES } else { NETWORK }
}

/// The name of the denied import that replaces `import`; `None` if the import is permitted.
pub(crate) fn renamed_import(import: &str, dependency: usize, inherit: &Inherit) -> Option<String> {
    let path = without_version(import);
    let (_, right) = GUARDED.iter().find(|(guarded, _)| *guarded == path)?;
    (!inherit.has(right)).then(|| renamed(import, dependency))
}

/// Renames `wasi:http/client@0.3.0` to `denied:d1-wasi-http/client@0.3.0`. The name contains the
/// dependency's number: a component imports only those functions of an interface that it calls, so
/// that the import of one dependency may lack functions that another needs.
fn renamed(import: &str, dependency: usize) -> String {
    format!("{NAMESPACE}d{dependency}-{}", import.replacen(':', "-", 1))
}

/// Whether the import has such a name.
pub(crate) fn is_denied(import: &str) -> bool {
    import.starts_with(NAMESPACE)
}

/// The versions of WASI, each with its releases and release candidates.
pub(crate) enum Wasi {
    P2,
    P3,
}

/// The path of a renamed import, `wasi-http/client`, and its version of WASI.
pub(crate) fn original(import: &str) -> Option<(&str, Wasi)> {
    let (path, version) = import.strip_prefix(NAMESPACE)?.split_once('@')?;
    let (_, path) = path.split_once('-')?;
    Some((path, if version.starts_with("0.2.") { Wasi::P2 } else { Wasi::P3 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_without_permission_is_renamed() {
        let some = |right: &str| Inherit::Some(vec![right.into()]);
        let denied = "denied:d1-wasi-sockets/types@0.3.0";
        let renamed = |name, inherit: Inherit| renamed_import(name, 1, &inherit);
        let sockets = "wasi:sockets/types@0.3.0";
        assert_eq!(renamed(sockets, Inherit::default()).as_deref(), Some(denied));
        assert_eq!(renamed(sockets, some("variables")).as_deref(), Some(denied));
        assert_eq!(renamed(sockets, some("allowed_outbound_hosts")), None);
        assert_eq!(renamed(sockets, Inherit::All), None);
        assert_eq!(renamed("wasi:clocks/monotonic-clock@0.2.6", Inherit::default()), None);
    }

    #[test]
    fn a_renamed_import_has_its_original_path_and_version() {
        let renamed = renamed_import("wasi:http/client@0.3.0", 12, &Inherit::default()).unwrap();
        assert!(is_denied(&renamed) && !is_denied("wasi:http/client@0.3.0"));
        assert!(matches!(original(&renamed), Some(("wasi-http/client", Wasi::P3))));
        let older = "denied:d0-wasi-cli/environment@0.2.6";
        assert!(matches!(original(older), Some(("wasi-cli/environment", Wasi::P2))));
    }
}
