//! Composes a component with the dependencies and the middleware that its manifest names, as Spin
//! does: with one level of dependencies, each of them a separate instance that gets only the
//! permissions that it inherits.

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memmem;
use wac_graph::types::{ItemKind, Package};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};
use wasmparser::{Parser, Payload};

use crate::denial::{self, RIGHTS};
use crate::linker::{exports_candidate, released};
use crate::{Error, componentize};
use spin_app::app::{Component, Dependency, Inherit, Source};
use spin_app::interface::{is_among, is_named_by};

/// The interface that middleware imports and exports.
const HANDLER: &str = "wasi:http/handler@0.3.0";

/// The interfaces for complete requests of a component and of its middleware.
const WHOLE_HANDLER: &str = "doorbuster:http/handler@0.1.0";
const FILTER: &str = "doorbuster:http/filter@0.1.0";
const INTERCEPTOR: &str = "doorbuster:http/interceptor@0.1.0";

/// The name under which a component exports its handler for complete requests behind middleware. It is not
/// that of the interface: only a host that calls the middleware before may call it.
pub(crate) const GUARDED_HANDLER: &str = "guarded-handler";

/// The name under which the filter at this position, from the outermost, is exported.
pub(crate) fn filter_name(position: usize) -> String {
    format!("filter{position}")
}

/// The name under which the interceptor at this position, from the outermost, is exported. At the last one
/// there may be a component that forwards requests, without a handler behind.
pub(crate) fn interceptor_name(position: usize) -> String {
    format!("interceptor{position}")
}

/// The bytes of the component, composed with its dependencies and its middleware. `capabilities` are
/// the interfaces that the program of the host provides.
pub fn compose(component: &Component, capabilities: &[&str]) -> Result<Vec<u8>, Error> {
    let provided = provided(component, capabilities)?;
    if component.dependencies.is_empty() && component.middleware().is_empty() {
        let bytes = read(component, &component.source)?;
        if !exports_candidate(&bytes) && !mentions_interceptor(&bytes) {
            return Ok(bytes.into_owned());
        }
    }
    Composer::new(component, capabilities, provided)?.compose()
}

struct Composer<'a> {
    component: &'a Component,
    graph: CompositionGraph,
    root: PackageId,
    root_node: NodeId,
    /// The interfaces that the program of the host provides.
    capabilities: &'a [&'a str],
    /// The imports of the root component that the host satisfies instead of a dependency.
    provided: Vec<&'a str>,
    /// The imports of the root component that a dependency satisfies, and the name of the
    /// dependency.
    satisfied: HashMap<String, &'a str>,
}

impl<'a> Composer<'a> {
    fn new(
        component: &'a Component,
        capabilities: &'a [&'a str],
        provided: Vec<&'a str>,
    ) -> Result<Self, Error> {
        let mut graph = CompositionGraph::new();
        let root = package(&mut graph, component, "root", &component.source)?;
        let root_node = graph.instantiate(root);
        let satisfied = HashMap::new();
        Ok(Self { component, graph, root, root_node, capabilities, provided, satisfied })
    }

    fn compose(mut self) -> Result<Vec<u8>, Error> {
        for (index, (name, dependency)) in self.component.dependencies.iter().enumerate() {
            self.plug(index, name, dependency)?;
        }
        match self.component.middleware() {
            [] => self.export_all()?,
            middleware => self.export_behind(middleware)?,
        }
        let encoded = self.graph.encode(EncodeOptions::default());
        encoded.map_err(|e| component_error(self.component, format!("{e:#}")))
    }

    /// Instantiates a dependency and connects its exports to the root component.
    fn plug(&mut self, index: usize, name: &'a str, dependency: &Dependency) -> Result<(), Error> {
        let fault = |message: String| fault(self.component, name, message);
        let imports: Vec<String> = self.imports(self.root).map(|(import, _)| import).collect();
        let named: Vec<&String> =
            imports.iter().filter(|import| is_named_by(name, import)).collect();
        if named.is_empty() {
            let imports = imports.join(", ");
            let message = format!("the component does not import it; it imports {imports}");
            return Err(fault(message));
        }
        let wanted: Vec<&String> =
            named.into_iter().filter(|import| !is_among(&self.provided, import)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        check_rights(&dependency.inherit).map_err(fault)?;
        let package_name = format!("dep{index}");
        let id = package(&mut self.graph, self.component, &package_name, &dependency.source)?;
        let node = self.graph.instantiate(id);
        self.deny(index, name, &dependency.inherit, (id, node))?;
        for import in wanted {
            self.connect(name, dependency, (id, node), import)?;
        }
        Ok(())
    }

    /// Satisfies one import of the root component with an export of the dependency.
    fn connect(
        &mut self,
        name: &'a str,
        dependency: &Dependency,
        (id, node): (PackageId, NodeId),
        import: &str,
    ) -> Result<(), Error> {
        if let Some(other) = self.satisfied.insert(import.into(), name) {
            let message = format!("`{import}` is already satisfied by `{other}`");
            return Err(fault(self.component, name, message));
        }
        let export = dependency.export.as_deref().unwrap_or(import);
        let exports = &self.graph.types()[self.graph[id].ty()].exports;
        if !exports.contains_key(export) {
            let exports = exports.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let message = format!(
                "it does not export `{export}`, only {exports}; name the interface that it is for"
            );
            return Err(fault(self.component, name, message));
        }
        let export = self.graph.alias_instance_export(node, export);
        let export = export.map_err(|e| fault(self.component, name, e.to_string()))?;
        let connected = self.graph.set_instantiation_argument(self.root_node, import, export);
        connected.map_err(|e| {
            fault(self.component, name, format!("the type of its `{import}` does not match: {e:#}"))
        })
    }

    /// Connects each import for which the dependency has no permission to one that denies every
    /// call.
    fn deny(
        &mut self,
        index: usize,
        name: &str,
        inherit: &Inherit,
        (id, node): (PackageId, NodeId),
    ) -> Result<(), Error> {
        let imports: Vec<_> = self.imports(id).collect();
        for (import, kind) in imports {
            let right = denial::right_for_capability(&import);
            if is_among(self.capabilities, &import) && !inherit.has(right) {
                let message = format!("it imports `{import}` but does not inherit `{right}`");
                return Err(fault(self.component, name, message));
            }
            let Some(denied) = denial::renamed_import(&import, index, inherit) else {
                continue;
            };
            let argument = self.graph_import(&denied, kind);
            let argument = argument.map_err(|message| fault(self.component, name, message))?;
            self.graph
                .set_instantiation_argument(node, &import, argument)
                .map_err(|e| fault(self.component, name, format!("`{import}`: {e:#}")))?;
        }
        Ok(())
    }

    /// Adds an import of the same type under another name.
    fn graph_import(&mut self, name: &str, kind: ItemKind) -> Result<NodeId, String> {
        let kind = match kind {
            ItemKind::Instance(id) => {
                // With the id of its interface, the import would be merged with the import of that
                // interface.
                let mut interface = self.graph.types()[id].clone();
                interface.id = None;
                ItemKind::Instance(self.graph.types_mut().add_interface(interface))
            }
            other => other,
        };
        self.graph.import(name, kind).map_err(|e| e.to_string())
    }

    fn imports(&self, package: PackageId) -> impl Iterator<Item = (String, ItemKind)> {
        let imports = &self.graph.types()[self.graph[package].ty()].imports;
        imports.iter().map(|(name, kind)| (name.clone(), *kind))
    }

    /// Exports the handler of the first middleware, which is connected to that of the next one, and
    /// so on to the component. Nothing else of the component is exported: it would bypass the
    /// middleware.
    fn export_behind(&mut self, middleware: &[Dependency]) -> Result<(), Error> {
        let mut next = self.graph.alias_instance_export(self.root_node, HANDLER).map_err(|_| {
            let message = format!("it has middleware, but does not export `{HANDLER}`");
            component_error(self.component, message)
        })?;
        let mut interfaces = Some(Vec::new());
        for (position, middleware) in middleware.iter().enumerate().rev() {
            let name = format!("middleware[{position}]");
            let fault = |message: String| fault(self.component, &name, message);
            check_rights(&middleware.inherit).map_err(fault)?;
            let index = self.component.dependencies.len() + position;
            let package_name = format!("dep{index}");
            let id = package(&mut self.graph, self.component, &package_name, &middleware.source)?;
            let types = self.graph.types();
            let world = &types[self.graph[id].ty()];
            if !self.calls_next(id) || !world.exports.contains_key(HANDLER) {
                let message = format!(
                    "{} is not middleware: it must import and export `{HANDLER}`",
                    middleware.source
                );
                return Err(fault(message));
            }
            // The interface of a composed component is that of one of its parts, and does not call
            // the others.
            let interface = [FILTER, INTERCEPTOR]
                .into_iter()
                .find(|name| world.exports.contains_key(*name))
                .filter(|_| !is_composed(self.graph[id].bytes()));
            let node = self.graph.instantiate(id);
            // One without such an interface needs streams, and so do all of them then.
            interfaces = interfaces.zip(interface).map(|(mut all, interface)| {
                all.push((node, interface));
                all
            });
            let connected = self.graph.set_instantiation_argument(node, HANDLER, next);
            connected.map_err(|e| fault(format!("`{HANDLER}`: {e:#}")))?;
            next = self
                .graph
                .alias_instance_export(node, HANDLER)
                .map_err(|e| fault(e.to_string()))?;
            self.deny(index, &name, &middleware.inherit, (id, node))?;
        }
        self.export(next, HANDLER)?;
        let has_handler = self.exports(self.root, WHOLE_HANDLER);
        let Some(mut interfaces) = interfaces.filter(|_| has_handler || self.is_forwarding())
        else {
            return Ok(());
        };
        if !has_handler {
            interfaces.insert(0, (self.root_node, INTERCEPTOR));
        }
        for (position, (node, interface)) in interfaces.into_iter().rev().enumerate() {
            let name = match interface {
                FILTER => filter_name(position),
                _ => interceptor_name(position),
            };
            self.export_instance(node, interface, &name)?;
        }
        if has_handler {
            self.export_instance(self.root_node, WHOLE_HANDLER, GUARDED_HANDLER)?;
        }
        Ok(())
    }

    /// Whether the root component forwards complete requests.
    fn is_forwarding(&self) -> bool {
        self.exports(self.root, INTERCEPTOR)
            && !self.exports(self.root, WHOLE_HANDLER)
            && !self.calls_next(self.root)
            && !is_composed(self.graph[self.root].bytes())
    }

    fn exports(&self, package: PackageId, name: &str) -> bool {
        self.graph.types()[self.graph[package].ty()].exports.contains_key(name)
    }

    /// Whether a component is middleware. An import without the function has only types.
    fn calls_next(&self, package: PackageId) -> bool {
        let types = self.graph.types();
        match types[self.graph[package].ty()].imports.get(HANDLER) {
            Some(ItemKind::Instance(next)) => types[*next].exports.contains_key("handle"),
            _ => false,
        }
    }

    fn export_instance(&mut self, node: NodeId, name: &str, exported: &str) -> Result<(), Error> {
        let alias = self.graph.alias_instance_export(node, name);
        let alias = alias.map_err(|e| component_error(self.component, e.to_string()))?;
        self.export(alias, exported)
    }

    fn export(&mut self, node: NodeId, name: &str) -> Result<(), Error> {
        let exported = self.graph.export(node, name);
        exported.map_err(|e| component_error(self.component, e.to_string()))
    }

    fn export_all(&mut self) -> Result<(), Error> {
        let exports = &self.graph.types()[self.graph[self.root].ty()].exports;
        let interceptor = self.is_forwarding().then(|| interceptor_name(0));
        for name in exports.keys().cloned().collect::<Vec<_>>() {
            let exported = match &interceptor {
                Some(interceptor) if name == INTERCEPTOR => interceptor.as_str(),
                // The host looks up the exports of a release candidate of WASI 0.3 under the release's
                // name.
                _ => released(&name).unwrap_or(&name),
            };
            self.export_instance(self.root_node, &name, exported)?;
        }
        Ok(())
    }
}

/// Whether the component may export the interface for interceptors. Few do, and only those are composed.
fn mentions_interceptor(bytes: &[u8]) -> bool {
    memmem::find(bytes, INTERCEPTOR.as_bytes()).is_some()
}

/// Whether the component contains other components with code, as the output of `wac` does.
fn is_composed(bytes: &[u8]) -> bool {
    let mut is_component = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::ComponentSection { .. }) => is_component.push(true),
            Ok(Payload::ModuleSection { .. }) if is_component.contains(&true) => return true,
            Ok(Payload::ModuleSection { .. }) => is_component.push(false),
            Ok(Payload::End(_)) => {
                is_component.pop();
            }
            Ok(_) => {}
            // Such bytes are rejected when they are compiled.
            Err(_) => return true,
        }
    }
    false
}

/// The interfaces of the host that it satisfies instead of a dependency.
fn provided<'a>(component: &Component, capabilities: &'a [&'a str]) -> Result<Vec<&'a str>, Error> {
    let mut provided = Vec::new();
    for wanted in &component.provide {
        let known = provided.len();
        provided.extend(capabilities.iter().filter(|interface| is_named_by(wanted, interface)));
        if provided.len() == known {
            let message = format!("provide: this host does not provide `{wanted}`");
            return Err(component_error(component, message));
        }
    }
    Ok(provided)
}

fn check_rights(inherit: &Inherit) -> Result<(), String> {
    inherit.unknown(&RIGHTS).map_or(Ok(()), |right| {
        let rights = RIGHTS.join(", ");
        Err(format!("inherit_configuration: `{right}` is unknown; known are {rights}"))
    })
}

fn read<'a>(component: &Component, source: &'a Source) -> Result<Cow<'a, [u8]>, Error> {
    let read = source.read().and_then(componentize::component);
    read.map_err(|message| source_error(component, source, message))
}

fn package(
    graph: &mut CompositionGraph,
    component: &Component,
    name: &str,
    source: &Source,
) -> Result<PackageId, Error> {
    let refused = |message: String| source_error(component, source, message);
    let bytes = read(component, source)?.into_owned();
    let package = Package::from_bytes(&format!("host:{name}"), None, bytes, graph.types_mut())
        .map_err(|e| refused(format!("not a valid component: {e:#}")))?;
    graph.register_package(package).map_err(|e| refused(e.to_string()))
}

fn fault(component: &Component, dependency: &str, message: String) -> Error {
    Error::Dependency { component: component.id.clone(), dependency: dependency.into(), message }
}

fn component_error(component: &Component, message: String) -> Error {
    source_error(component, &component.source, message)
}

fn source_error(component: &Component, source: &Source, message: String) -> Error {
    Error::Component { component: component.id.clone(), wasm: source.to_string(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    /// A section of a component with a module or a component.
    fn section(inner: &[u8]) -> Vec<u8> {
        let id = if inner.starts_with(COMPONENT) { 4 } else { 1 };
        [&[id, inner.len() as u8], inner].concat()
    }

    /// A component with these sections.
    fn component(sections: &[&[u8]]) -> Vec<u8> {
        [COMPONENT, &sections.concat()].concat()
    }

    #[test]
    fn a_component_is_composed_if_an_inner_one_has_code() {
        let code = section(MODULE);
        // Components without code are there for the types of exports.
        let types = section(COMPONENT);
        for sections in [vec![], vec![&code[..]], vec![&types], vec![&types, &code, &types]] {
            assert!(!is_composed(&component(&sections)), "{sections:x?}");
        }
        let part = section(&component(&[&code]));
        let deep = section(&component(&[&types, &part]));
        for sections in [vec![&part[..]], vec![&deep], vec![&code, &types, &part]] {
            assert!(is_composed(&component(&sections)), "{sections:x?}");
        }
        assert!(is_composed(b"no component"));
    }
}
