//! The aggregator: applies each batch of sales to Valkey in one atomic update. The crate
//! `aggregate` defines what is counted and how; this component sends its commands to Valkey.

mod records;
mod settings;
mod store;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use aggregate::{COMMITTED, Known, OffsetRange, Record, Source, Step, Stored, Update};
use bindings::exports::spin_kafka::events::packed_handler::PackedBatch;
use bindings::exports::spin_kafka::events::{checkpoint, handler, packed_handler};
use bindings::spin_kafka::events::types::{Batch, Failure, Rejection};
use valkey_codec::TimeLimits;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:aggregator/component",
        path: ["../../wit/spin-kafka-events", "../../wit/doorbuster-valkey", "world.wit"],
        with: {
            "doorbuster:valkey/client@0.2.0/scalar": valkey_codec::Scalar,
            "doorbuster:valkey/client@0.2.0/reply": valkey_codec::Reply,
        },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Aggregator;
    export!(Aggregator);
}

struct Aggregator;

thread_local! {
    /// The stored values that earlier batches reported; the script checks them.
    static KNOWN: RefCell<Known> = RefCell::default();
}

impl handler::Guest for Aggregator {
    async fn handle(batch: Batch) -> Result<Vec<Rejection>, Failure> {
        let Batch { topic, log_id, partition, group, .. } = batch;
        let Batch { start, end, expected_position, time_limit_ms, .. } = batch;
        let source = source(group, topic, log_id, partition).await?;
        let range = OffsetRange { start, end, expected_position };
        apply(source, range, time_limit_ms, batch.records.iter().map(records::record)).await
    }
}

impl packed_handler::Guest for Aggregator {
    async fn handle(batch: PackedBatch) -> Result<Vec<Rejection>, Failure> {
        let records = records::unpack(&batch)?;
        let PackedBatch { topic, log_id, partition, group, .. } = &batch;
        let source = source(group.clone(), topic.clone(), log_id.clone(), *partition).await?;
        let PackedBatch { start, end, expected_position, time_limit_ms, .. } = batch;
        let range = OffsetRange { start, end, expected_position };
        apply(source, range, time_limit_ms, records).await
    }
}

/// The partition that a batch comes from.
async fn source(
    group: String,
    topic: String,
    log_id: Option<String>,
    partition: i32,
) -> Result<Source, Failure> {
    let namespace = settings::get().await?.namespace.clone();
    Ok(Source { namespace, group, topic, log_id: log_id.unwrap_or_default(), partition })
}

/// Applies the records of a batch to Valkey.
async fn apply<'a>(
    source: Source,
    range: OffsetRange,
    time_limit_ms: u32,
    records: impl IntoIterator<Item = Record<'a>>,
) -> Result<Vec<Rejection>, Failure> {
    let begun = Instant::now();
    let times = TimeLimits::of_batch(Duration::from_millis(time_limit_ms.into()));
    let limits = settings::get().await?.limits;
    let mut update = Update::from_records(source, range, limits, records);
    loop {
        let Some(limit_ms) = times.call_ms(begun.elapsed()) else {
            return Err(Failure::Retry("Valkey is too slow to apply the batch".into()));
        };
        let command = KNOWN.with_borrow(|known| update.command(known)).map_err(store::failure)?;
        let reply = store::call(&command, limit_ms).await?;
        let step = KNOWN.with_borrow_mut(|known| update.reply(reply, known));
        match step.map_err(store::failure)? {
            Step::Send | Step::Run => {}
            Step::Rewind(position) => return Err(Failure::Rewind(position)),
            Step::Lost => return Err(Failure::Lost),
            Step::Done => return Ok(update.rejections().into_iter().map(rejection).collect()),
        }
    }
}

impl checkpoint::Guest for Aggregator {
    async fn position(
        group: String,
        topic: String,
        log_id: Option<String>,
        partition: i32,
    ) -> Result<Option<i64>, Failure> {
        let source = source(group, topic, log_id, partition).await?;
        let mut stored = source.stored(&store::read(&source.position_commands()).await?);
        if stored == Stored::Foreign {
            let existing = settings::get().await?.existing_counts;
            existing.check(&source).map_err(|error| Failure::Fatal(error.to_string()))?;
            store::write(source.adopt_command()).await?;
            stored = Stored::Adopted;
        }
        Ok(match stored {
            Stored::Position(position) => Some(position),
            Stored::Adopted => Some(COMMITTED),
            Stored::Nothing | Stored::Foreign => None,
        })
    }
}

fn rejection(rejection: aggregate::Rejection) -> Rejection {
    Rejection { offset: rejection.offset, reason: rejection.reason }
}
