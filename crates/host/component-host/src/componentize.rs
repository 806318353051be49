//! Converts core modules into components, as Spin does: its SDKs up to version 5 build modules for
//! the target `wasm32-wasip1` that contain the types of their imports and exports.

use std::borrow::Cow;

use spin_app::binary::Binary;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wit_component::ComponentEncoder;

/// The bytes of the component; a core module is converted.
pub(crate) fn component(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, String> {
    match Binary::from_header(&bytes)? {
        Binary::Component => Ok(bytes),
        Binary::Module => encode(&bytes).map(Cow::Owned),
    }
}

fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.adapter(PREVIEW1, ADAPTER))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| {
            format!(
                "it is a core module of which no component can be made: build it for the target \
                 wasm32-wasip2 ({e:#})"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CompileCache, Limits, engine};

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    /// A module that imports `MODULE.NAME`, a function without parameters and results.
    fn importing(module: &str, name: &str) -> Vec<u8> {
        let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
        let import = [&[1][..], &text(module), &text(name), &[0, 0]].concat();
        let types = [1, 4, 1, 0x60, 0, 0];
        [MODULE, &types, &[2, import.len() as u8], &import].concat()
    }

    #[test]
    fn the_first_bytes_tell_what_a_file_is() {
        assert_eq!(Binary::from_header(b"\0asm\x0d\0\x01\0..."), Ok(Binary::Component));
        assert_eq!(Binary::from_header(MODULE), Ok(Binary::Module));
        for bytes in [b"".as_slice(), b"\0asm", b"[package]\nname", b"(component)"] {
            let fault = Binary::from_header(bytes).unwrap_err();
            assert!(fault.starts_with("not a WebAssembly component"), "{fault}");
        }
    }

    #[test]
    fn a_module_becomes_a_component() {
        let engine = engine::build(&Limits::default(), &CompileCache::Disabled).unwrap();
        let made = component(Cow::Borrowed(MODULE)).unwrap();
        wasmtime::component::Component::from_binary(&engine, &made).unwrap();
        // A component is returned unchanged.
        let again = component(Cow::Borrowed(&made)).unwrap();
        assert_eq!(again, made);
        assert!(matches!(again, Cow::Borrowed(_)));
    }

    #[test]
    fn a_module_that_cannot_become_one_is_refused_with_advice() {
        let cut = [MODULE, &[1, 9]].concat();
        for module in [cut, importing("env", "print")] {
            let fault = component(Cow::Owned(module)).unwrap_err();
            assert!(fault.contains("core module") && fault.contains("wasm32-wasip2"), "{fault}");
        }
    }
}
