//! A test guest for the Kafka trigger that fails in the way that the record's value selects. It has
//! no checkpoint.

use bindings::exports::spin_kafka::events::handler;
use bindings::spin_kafka::events::types::{Batch, Failure, Rejection};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:fails-on-command/component",
        path: ["../../../wit/spin-kafka-events", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::FailingApp;
    export!(FailingApp);
}

/// The name of the build. A test overwrites it in the binary to create a new build.
const BUILD: &str = "the first build";

struct FailingApp;

impl handler::Guest for FailingApp {
    async fn handle(batch: Batch) -> Result<Vec<Rejection>, Failure> {
        let mut rejections = Vec::new();
        for record in batch.records {
            match record.value.as_deref() {
                Some(b"trap") => trap(),
                Some(b"loop") => spin(),
                Some(b"grow") => grow(),
                Some(b"reject") => {
                    rejections.push(Rejection { offset: record.offset, reason: BUILD.into() });
                }
                _ => {}
            }
        }
        Ok(rejections)
    }
}

#[expect(clippy::panic, reason = "that is what it is for")]
fn trap() {
    panic!("as requested");
}

fn spin() {
    loop {
        std::hint::black_box(0);
    }
}

/// Allocates memory until none is left.
fn grow() {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}
