//! Composes a component with the dependencies that its manifest names, as Spin does: one
//! level, each dependency an instance of its own.

use std::path::Path;

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};

use crate::Error;
use crate::app::{Component, Dependency};

/// Imports that give a component something of the outside, and the right each one needs.
const RIGHTS: [(&str, &str); 3] = [
    ("wasi:http/client@", "allowed_outbound_hosts"),
    ("wasi:sockets/", "allowed_outbound_hosts"),
    ("spin:variables/", "variables"),
];

/// The component's bytes with its dependencies plugged in.
pub(crate) fn compose(component: &Component) -> Result<Vec<u8>, Error> {
    if component.dependencies.is_empty() {
        return read(&component.source);
    }
    let mut graph = CompositionGraph::new();
    let root = package(&mut graph, component, "root", &component.source)?;
    let root_node = graph.instantiate(root);
    let imports: Vec<String> = graph.types()[graph[root].ty()].imports.keys().cloned().collect();
    let mut taken: Vec<String> = Vec::new();
    for (index, dependency) in component.dependencies.iter().enumerate() {
        let named: Vec<&String> =
            imports.iter().filter(|import| names(&dependency.name, import)).collect();
        if named.is_empty() {
            return Err(fault(component, dependency, no_match(&imports)));
        }
        let id = package(&mut graph, component, &format!("dep{index}"), &dependency.source)?;
        let dependency_imports: Vec<String> =
            graph.types()[graph[id].ty()].imports.keys().cloned().collect();
        check_rights(component, dependency, &dependency_imports)?;
        let exports = &graph.types()[graph[id].ty()].exports;
        // Of a package named as a whole, what the dependency does not export stays open: its
        // types, as a rule.
        let wanted: Vec<&String> =
            named.into_iter().filter(|import| exports.contains_key(*import)).collect();
        if wanted.is_empty() {
            let exported: Vec<&str> = exports.keys().map(String::as_str).collect();
            let message = format!("it exports only {}", exported.join(", "));
            return Err(fault(component, dependency, message));
        }
        if let Some(twice) = wanted.iter().find(|import| taken.contains(import)) {
            let message = format!("`{twice}` is already satisfied by another dependency");
            return Err(fault(component, dependency, message));
        }
        let node = graph.instantiate(id);
        for import in wanted {
            plug(&mut graph, component, dependency, (node, root_node), import)?;
            taken.push(import.clone());
        }
    }
    export_all(&mut graph, component, root_node, root)?;
    graph.encode(EncodeOptions::default()).map_err(|e| whole(component, format!("{e:#}")))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
        hint: "; build the components first (cargo xtask build)",
    })
}

fn package(
    graph: &mut CompositionGraph,
    component: &Component,
    name: &str,
    path: &Path,
) -> Result<wac_graph::PackageId, Error> {
    let refused = |message: String| Error::Component {
        component: component.id.clone(),
        path: path.into(),
        message,
    };
    let bytes = read(path)?;
    let package = Package::from_bytes(&format!("host:{name}"), None, bytes, graph.types_mut())
        .map_err(|e| refused(format!("not a valid component: {e:#}")))?;
    graph.register_package(package).map_err(|e| refused(e.to_string()))
}

/// Whether a dependency's name means this import: the same interface, or its package.
fn names(dependency: &str, import: &str) -> bool {
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

/// A dependency may only import what its parent lets it inherit. Spin denies the rest at the
/// call; this host refuses such an application at start.
fn check_rights(
    component: &Component,
    dependency: &Dependency,
    imports: &[String],
) -> Result<(), Error> {
    for import in imports {
        for (prefix, right) in RIGHTS {
            if import.starts_with(prefix) && !dependency.inherit.has(right) {
                let message = format!(
                    "it imports `{import}` but does not inherit `{right}`; add \
                     inherit_configuration = [\"{right}\"]"
                );
                return Err(fault(component, dependency, message));
            }
        }
    }
    if !component.environment.is_empty() && !dependency.inherit.has("environment") {
        let message = "it would see the component's environment; add \
                       inherit_configuration = [\"environment\"] or use variables instead";
        return Err(fault(component, dependency, message.into()));
    }
    Ok(())
}

fn plug(
    graph: &mut CompositionGraph,
    component: &Component,
    dependency: &Dependency,
    (from, to): (NodeId, NodeId),
    import: &str,
) -> Result<(), Error> {
    let export = graph
        .alias_instance_export(from, import)
        .map_err(|e| fault(component, dependency, format!("it does not export `{import}`: {e}")))?;
    graph
        .set_instantiation_argument(to, import, export)
        .map_err(|e| fault(component, dependency, format!("its `{import}` does not fit: {e:#}")))
}

fn export_all(
    graph: &mut CompositionGraph,
    component: &Component,
    node: NodeId,
    root: wac_graph::PackageId,
) -> Result<(), Error> {
    let exports: Vec<String> = graph.types()[graph[root].ty()].exports.keys().cloned().collect();
    for name in exports {
        let alias = graph
            .alias_instance_export(node, &name)
            .map_err(|e| whole(component, e.to_string()))?;
        graph.export(alias, &name).map_err(|e| whole(component, e.to_string()))?;
    }
    Ok(())
}

fn no_match(imports: &[String]) -> String {
    format!("the component has no such import; it imports {}", imports.join(", "))
}

fn fault(component: &Component, dependency: &Dependency, message: String) -> Error {
    Error::Dependency {
        component: component.id.clone(),
        dependency: dependency.name.clone(),
        message: format!("{message} ({})", dependency.source.display()),
    }
}

fn whole(component: &Component, message: String) -> Error {
    Error::Component { component: component.id.clone(), path: component.source.clone(), message }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_dependency_names_an_interface_or_its_package() {
        let import = "doorbuster:sales/intake@0.1.0";
        for name in
            ["doorbuster:sales", "doorbuster:sales@0.1.0", "doorbuster:sales/intake", import]
        {
            assert!(names(name, import), "{name}");
        }
        for name in
            ["doorbuster:sale", "doorbuster:sales@0.2.0", "doorbuster:sales/types", "doorbuster"]
        {
            assert!(!names(name, import), "{name}");
        }
    }
}
