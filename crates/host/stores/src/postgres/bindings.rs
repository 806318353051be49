//! The interfaces as Rust types.

wasmtime::component::bindgen!({
    inline: "
        package doorbuster:postgres;
        world host {
            import spin:postgres/postgres@4.2.0;
            import spin:postgres/postgres@3.0.0;
            import fermyon:spin/postgres@2.0.0;
        }
    ",
    path: [
        "../../../wit/deps/spin-postgres-4",
        "../../../wit/deps/spin-postgres-3",
        "../../../wit/deps/fermyon-spin",
    ],
    imports: {
        "spin:postgres/postgres@4.2.0.[constructor]connection-builder": async | trappable,
        default: async,
    },
    with: {
        "spin:postgres/postgres@4.2.0.connection": super::session::Connection,
        "spin:postgres/postgres@4.2.0.connection-builder": super::host::Builder,
        "spin:postgres/postgres@3.0.0.connection": super::session::Connection,
        "fermyon:spin/postgres@2.0.0.connection": super::session::Connection,
    },
});

pub(super) use fermyon::spin::postgres as v2;
pub(super) use fermyon::spin::rdbms_types as v2_types;
pub(super) use spin::postgres3_0_0::postgres as v3;
pub(super) use spin::postgres4_2_0::postgres as v4;
