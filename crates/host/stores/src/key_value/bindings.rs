//! The interfaces as Rust types.

wasmtime::component::bindgen!({
    inline: "
        package doorbuster:key-value;
        world host {
            import spin:key-value/key-value@3.0.0;
            import fermyon:spin/key-value@2.0.0;
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
        }
    ",
    path: [
        "../../../wit/deps/spin-key-value",
        "../../../wit/deps/fermyon-spin",
        "../../../wit/deps/wasi-keyvalue",
    ],
    imports: {
        "spin:key-value/key-value@3.0.0.[method]store.get-keys": async | store | trappable,
        default: async,
    },
    with: {
        "spin:key-value/key-value@3.0.0.store": super::store::Store,
        "fermyon:spin/key-value@2.0.0.store": super::store::Store,
        "wasi:keyvalue/store@0.2.0-draft2.bucket": super::store::Store,
        "wasi:keyvalue/atomics@0.2.0-draft2.cas": super::wasi::Cas,
    },
});

pub(super) use fermyon::spin::key_value as v2;
pub(super) use spin::key_value::key_value as v3;
pub(super) use wasi::keyvalue::atomics;
pub(super) use wasi::keyvalue::batch;
pub(super) use wasi::keyvalue::store as wasi_store;
