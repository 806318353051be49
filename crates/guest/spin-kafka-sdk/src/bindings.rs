//! The generated bindings of the interfaces. Only this crate uses them: users see the types of this
//! crate, so their code does not depend on the version of the interfaces.
#![allow(missing_docs, unsafe_code, reason = "generated")]

pub mod handler {
    wit_bindgen::generate!({
        world: "spin-kafka:sdk/handler",
        path: ["wit/spin-kafka-events", "wit/world.wit"],
        runtime_path: "::spin_kafka_sdk::wit_bindgen::rt",
        default_bindings_module: "::spin_kafka_sdk::bindings::handler",
        pub_export_macro: true,
        export_macro_name: "export_handler",
        generate_all,
    });
}

pub mod checkpoint {
    wit_bindgen::generate!({
        world: "spin-kafka:sdk/checkpoint",
        path: ["wit/spin-kafka-events", "wit/world.wit"],
        with: {
            "spin-kafka:events/types@0.2.0":
                crate::bindings::handler::spin_kafka::events::types,
        },
        runtime_path: "::spin_kafka_sdk::wit_bindgen::rt",
        default_bindings_module: "::spin_kafka_sdk::bindings::checkpoint",
        pub_export_macro: true,
        export_macro_name: "export_checkpoint",
        generate_all,
    });
}

pub mod transform {
    wit_bindgen::generate!({
        world: "spin-kafka:sdk/transform",
        path: ["wit/spin-kafka-events", "wit/world.wit"],
        with: {
            "spin-kafka:events/types@0.2.0":
                crate::bindings::handler::spin_kafka::events::types,
        },
        runtime_path: "::spin_kafka_sdk::wit_bindgen::rt",
        default_bindings_module: "::spin_kafka_sdk::bindings::transform",
        pub_export_macro: true,
        export_macro_name: "export_transform",
        generate_all,
    });
}

pub mod producer {
    wit_bindgen::generate!({
        world: "spin-kafka:sdk/producer",
        path: ["wit/spin-kafka-events", "wit/world.wit"],
        with: {
            "spin-kafka:events/types@0.2.0":
                crate::bindings::handler::spin_kafka::events::types,
        },
        runtime_path: "::spin_kafka_sdk::wit_bindgen::rt",
        generate_all,
    });
}

pub mod state {
    wit_bindgen::generate!({
        world: "spin-kafka:sdk-state/state",
        path: ["wit/doorbuster-valkey", "wit/spin-variables", "wit/state.wit"],
        runtime_path: "::spin_kafka_sdk::wit_bindgen::rt",
        generate_all,
    });
}
