//! The interfaces as Rust types.

wasmtime::component::bindgen!({
    inline: "
        package doorbuster:redis;
        world host {
            import spin:redis/redis@3.0.0;
            import fermyon:spin/redis@2.0.0;
        }
    ",
    path: ["../../../wit/deps/spin-redis", "../../../wit/deps/fermyon-spin"],
    imports: { default: async },
    with: {
        "spin:redis/redis@3.0.0.connection": super::connection::Connection,
        "fermyon:spin/redis@2.0.0.connection": super::connection::Connection,
    },
});

pub(super) use fermyon::spin::redis as v2;
pub(super) use spin::redis::redis as v3;
