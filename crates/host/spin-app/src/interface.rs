//! The names of interfaces.

/// Whether the import is one of these interfaces. A linker accepts every compatible version of an
/// interface, so versions are not compared.
pub fn is_among(interfaces: &[&str], import: &str) -> bool {
    interfaces.iter().any(|interface| without_version(interface) == without_version(import))
}

/// `ns:package/interface` of a name that may have a version.
pub fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Whether the name of a dependency in the manifest applies to this import: it names the interface
/// or its package.
pub fn is_named_by(dependency: &str, import: &str) -> bool {
    let (path, version) = match dependency.split_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (dependency, None),
    };
    let (import_path, import_version) = match import.split_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (import, None),
    };
    let same_path = import_path == path
        || (!path.contains('/') && import_path.split_once('/').is_some_and(|(p, _)| p == path));
    same_path && (version.is_none() || version == import_version)
}

#[cfg(test)]
mod tests {
    use super::is_named_by;

    #[test]
    fn a_dependency_names_an_interface_or_its_package() {
        let import = "doorbuster:sales/intake@0.2.0";
        for name in
            ["doorbuster:sales", "doorbuster:sales@0.2.0", "doorbuster:sales/intake", import]
        {
            assert!(is_named_by(name, import), "{name}");
        }
        for name in
            ["doorbuster:sale", "doorbuster:sales@0.1.0", "doorbuster:sales/types", "doorbuster"]
        {
            assert!(!is_named_by(name, import), "{name}");
        }
    }
}
