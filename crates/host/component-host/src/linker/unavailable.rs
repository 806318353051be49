//! Explains which imports of a component this host does not provide, and what to do about it.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::released;
use spin_app::interface::{is_named_by, without_version};

/// Spin's interfaces that this host does not provide, unless a capability of the program does: the
/// prefixes of their names, and the purpose of each.
const UNSUPPORTED_OF_SPIN: [(&str, &str); 19] = [
    ("fermyon:spin/config", "variables in the form of Spin 1"),
    ("fermyon:spin/http", "HTTP requests in the form of Spin 1"),
    ("fermyon:spin/key-value", "key-value stores"),
    ("fermyon:spin/llm", "AI models"),
    ("fermyon:spin/mqtt", "MQTT"),
    ("fermyon:spin/mysql", "MySQL"),
    ("fermyon:spin/postgres", "PostgreSQL"),
    ("fermyon:spin/redis", "Redis"),
    ("fermyon:spin/sqlite", "SQLite databases"),
    ("spin:key-value/", "key-value stores"),
    ("spin:llm/", "AI models"),
    ("spin:mqtt/", "MQTT"),
    ("spin:mysql/", "MySQL"),
    ("spin:postgres/", "PostgreSQL"),
    ("spin:redis/", "Redis"),
    ("spin:sqlite/", "SQLite databases"),
    ("wasi:keyvalue/", "key-value stores"),
    ("wasi:llm/", "AI models"),
    ("wasi:otel/", "telemetry of guests"),
];

/// Release candidates of WASI 0.2.
const OLD_CANDIDATE: &str = "@0.2.0-rc-";

/// Why a component cannot be linked. `provided` are the interfaces of the capabilities, and `error` is
/// the linker's error.
pub(super) fn explain(component: &Component, provided: &[&str], error: &wasmtime::Error) -> String {
    let imports = imports(component);
    let missing = imports.iter().filter(|import| !has_version(provided, import));
    let unsupported: Vec<String> = missing.filter_map(|import| unsupported(import)).collect();
    if !unsupported.is_empty() {
        return format!(
            "it imports {}, which this host does not provide; run the component in Spin, or \
             remove that import from it",
            unsupported.join(" and ")
        );
    }
    // The linker quotes the import at which it stopped.
    let text = format!("{error:#}");
    match imports.iter().find(|import| text.contains(&format!("`{import}`"))) {
        Some(import) => explain_import(import, &text),
        None => format!("it cannot be linked: {text}"),
    }
}

/// Whether the import is one of these interfaces in its version.
fn has_version(provided: &[&str], import: &str) -> bool {
    provided.iter().any(|interface| is_named_by(interface, import))
}

fn explain_import(import: &str, error: &str) -> String {
    let wasi = without_version(import).starts_with("wasi:");
    if released(import).is_some() {
        format!(
            "it imports `{import}` of a release candidate of WASI 0.3, and what it uses of that \
             interface is different in WASI 0.3.0; build it for 0.3.0 (in Rust: spin-sdk 7 or newer), or for \
             WASI 0.2 ({error})"
        )
    } else if wasi && import.contains(OLD_CANDIDATE) {
        format!(
            "it imports `{import}` of a release candidate of WASI 0.2; build it for WASI 0.2.0 or \
             newer (in Rust: spin-sdk 3 or newer)"
        )
    } else if wasi || import.contains(":spin/") || import.starts_with("spin:variables/") {
        format!(
            "it imports `{import}`, which this host does not provide in that form; build it with \
             an SDK for Spin 4.1 or older ({error})"
        )
    } else {
        format!(
            "it imports `{import}`, which this host does not provide; name a component that provides \
             it under `dependencies` ({error})"
        )
    }
}

/// The interface of Spin that the import names and that this host does not provide, with its
/// purpose.
fn unsupported(import: &str) -> Option<String> {
    let path = without_version(import);
    let (_, what) = UNSUPPORTED_OF_SPIN.iter().find(|(start, _)| path.starts_with(start))?;
    Some(format!("`{import}` ({what})"))
}

/// The imports that need a definition. Interfaces that consist only of types need none.
fn imports(component: &Component) -> Vec<String> {
    let (engine, types) = (component.engine(), component.component_type());
    let needed = types.imports(engine).filter(|(_, import)| match &import.ty {
        ComponentItem::ComponentInstance(interface) => {
            interface.exports(engine).any(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
        }
        _ => true,
    });
    needed.map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use wac_graph::types::{DefinedType, FuncType, Interface, ItemKind, PrimitiveType, ValueType};
    use wac_graph::{CompositionGraph, EncodeOptions};

    use super::*;
    use crate::{CompileCache, Limits, engine, linker};

    /// A component with a single import: a function of this interface, with a type that no
    /// interface of the host has.
    fn importing(interfaces: &[&str]) -> Vec<u8> {
        let mut graph = CompositionGraph::new();
        for name in interfaces {
            let types = graph.types_mut();
            let odd = ValueType::Primitive(PrimitiveType::Char);
            let odd = ValueType::Defined(types.add_defined_type(DefinedType::List(odd)));
            let function = types.add_func_type(FuncType {
                params: [("odd".to_owned(), odd)].into_iter().collect(),
                result: None,
                is_async: false,
            });
            let exports = ["get", "get-random-bytes", "now"];
            let exports = exports.map(|name| (name.to_owned(), ItemKind::Func(function)));
            let interface = types.add_interface(Interface {
                id: None,
                uses: Default::default(),
                exports: exports.into_iter().collect(),
            });
            graph.import(*name, ItemKind::Instance(interface)).unwrap();
        }
        graph.encode(EncodeOptions::default()).unwrap()
    }

    fn fault(interfaces: &[&str]) -> String {
        let engine = engine::build(&Limits::default(), &CompileCache::Disabled).unwrap();
        let component = Component::from_binary(&engine, &importing(interfaces)).unwrap();
        linker::link(&linker::build(&engine, &[]).unwrap(), &component, &[]).err().unwrap()
    }

    #[test]
    fn an_import_that_is_not_provided_is_refused_by_name_and_with_advice() {
        for (import, advice) in [
            ("fermyon:spin/redis@2.0.0", "(Redis)"),
            ("fermyon:spin/key-value@2.0.0", "(key-value stores)"),
            ("fermyon:spin/http", "in the form of Spin 1"),
            ("spin:sqlite/sqlite@3.1.0", "(SQLite databases)"),
            ("spin:postgres/postgres@4.2.0", "(PostgreSQL)"),
            ("wasi:keyvalue/store@0.2.0-draft2", "(key-value stores)"),
            ("wasi:random/random@0.3.0-rc-2025-09-16", "build it for 0.3.0"),
            ("wasi:clocks/wall-clock@0.3.0-rc-2025-09-16", "build it for 0.3.0"),
            ("wasi:clocks/wall-clock@0.2.0-rc-2023-11-10", "build it for WASI 0.2.0 or newer"),
            ("wasi:clocks/system-clock@0.3.0", "in that form"),
            ("wasi:blobstore/store@0.2.0", "in that form"),
            ("fermyon:spin/variables@2.0.0", "in that form"),
            ("a:b/c@1.0.0", "`dependencies`"),
        ] {
            let fault = fault(&[import]);
            assert!(fault.contains(&format!("`{import}`")), "{import}: {fault}");
            assert!(fault.contains(advice), "{import}: {fault}");
        }
    }

    #[test]
    fn all_interfaces_of_spin_that_are_not_provided_are_named_at_once() {
        let fault = fault(&["a:b/c", "spin:redis/redis@3.0.0", "spin:mqtt/mqtt@3.0.0"]);
        let named = "`spin:redis/redis@3.0.0` (Redis) and `spin:mqtt/mqtt@3.0.0` (MQTT)";
        assert!(fault.contains(named), "{fault}");
    }
}
