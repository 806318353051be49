//! Changes a state in Valkey once for every record. The changes are the answers of another component,
//! in any language, which exports `spin-kafka:events/changes`
//! (docs/guide/counted-state.md).
#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "exported only by the component, not in native tests")
)]

mod change;

use bindings::spin_kafka::events::changes::{self, Member, Place};
use spin_kafka_sdk::bindings::handler::spin_kafka::events::types;
use spin_kafka_sdk::export::{BatchResult, Checkpoint, Handler, PositionResult};
use spin_kafka_sdk::state::{self, Read, State, read_all, variable};
use spin_kafka_sdk::{Batch, Failure, Partition, Record, export_checkpoint, export_handler};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_kafka_sdk::wit_bindgen::generate!({
        world: "doorbuster:state/component",
        path: ["../../wit/spin-kafka-events", "world.wit"],
        with: {
            "spin-kafka:events/types@0.2.0":
                spin_kafka_sdk::bindings::handler::spin_kafka::events::types,
        },
        runtime_path: "::spin_kafka_sdk::wit_bindgen::rt",
        generate_all,
    });
}

/// The Spin variables with the name and the version of the state.
const NAME_VARIABLE: &str = "state";
const VERSION_VARIABLE: &str = "state_version";

struct Component;

export_handler!(Component);
export_checkpoint!(Component);

impl Handler for Component {
    async fn handle(batch: Batch) -> BatchResult {
        state::apply(namespace().await?, batch, run).await
    }
}

impl Checkpoint for Component {
    async fn position(partition: Partition) -> PositionResult {
        state::position(namespace().await?, partition).await
    }
}

async fn namespace() -> Result<state::Namespace, Failure> {
    let name = variable(NAME_VARIABLE).await?.ok_or_else(|| {
        Failure::fatal(format_args!("Spin variable `{NAME_VARIABLE}` is required"))
    })?;
    let version = match variable(VERSION_VARIABLE).await? {
        Some(text) => text.parse().map_err(|_| {
            Failure::fatal(format_args!("Spin variable `{VERSION_VARIABLE}` is not a number"))
        })?,
        None => 1,
    };
    state::namespace(&name, version)
}

/// Makes the changes that the function returns.
async fn run(batch: &Batch, state: &mut State) -> BatchResult {
    let records: Vec<types::Record> =
        batch.records().iter().map(Record::content).cloned().collect();
    let source = types::Source { topic: batch.topic().to_owned(), partition: batch.partition() };
    let reads: Vec<Read> = changes::reads(&source, &records).into_iter().map(read).collect();
    let values = if reads.is_empty() { Vec::new() } else { read_all(state, reads).await? };
    let answers = changes::apply(&source, &records, &values);
    if answers.len() != records.len() {
        return Err(Failure::fatal(format_args!(
            "the function returned {} results for {} records",
            answers.len(),
            records.len()
        )));
    }
    let mut rejections = Vec::new();
    for (record, answer) in batch.records().iter().zip(answers) {
        if let Err(reason) = answer.and_then(|changes| change::make(&changes, state)) {
            rejections.push(record.reject(reason));
        }
    }
    Ok(rejections)
}

fn read(read: changes::Read) -> Read {
    match read {
        changes::Read::Value(Place { key, field: None }) => Read::value(key),
        changes::Read::Value(Place { key, field: Some(field) }) => Read::field(key, field),
        changes::Read::Score(Member { key, member }) => Read::score(key, member),
    }
}
