//! The aggregator: a batch of sales in, one atomic update of Valkey out. What it counts and
//! how is in the crate `aggregate`; this is the shell that talks to Valkey.

mod store;

use std::cell::RefCell;
use std::sync::OnceLock;

use aggregate::{Monitored, Source, Step, Update};
use bindings::exports::spin_kafka::events::{checkpoint, handler};
use bindings::spin_kafka::events::types::{Batch, Failure, Rejection};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:aggregator/component",
        path: ["../../wit/spin-kafka-events", "../../wit/doorbuster-valkey", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Aggregator;
    export!(Aggregator);
}

struct Aggregator;

thread_local! {
    /// What earlier batches told of the monitored products; a guess that the script checks.
    static MONITORED: RefCell<Monitored> = RefCell::default();
}

impl handler::Guest for Aggregator {
    async fn handle(batch: Batch) -> Result<Vec<Rejection>, Failure> {
        let source = source(batch.topic, batch.log_id, batch.partition).await?;
        let records = batch.messages.iter().map(|m| (m.offset, m.value.as_deref()));
        let mut update = Update::read(source, (batch.start, batch.end), records);
        loop {
            let command = MONITORED.with_borrow(|monitored| update.command(monitored));
            let reply = store::call(command).await?;
            let step = MONITORED.with_borrow_mut(|monitored| update.reply(reply, monitored));
            match step.map_err(store::failure)? {
                Step::Again => {}
                Step::Rewind(position) => return Err(Failure::Rewind(position)),
                Step::Done => return Ok(update.rejections().into_iter().map(rejection).collect()),
            }
        }
    }
}

impl checkpoint::Guest for Aggregator {
    async fn position(
        topic: String,
        log_id: String,
        partition: i32,
    ) -> Result<Option<i64>, Failure> {
        let source = source(topic, log_id, partition).await?;
        let [offset, log] = store::read(source.position_commands()).await?;
        Ok(source.position(offset.as_deref(), log.as_deref()))
    }
}

async fn source(topic: String, log_id: String, partition: i32) -> Result<Source, Failure> {
    Ok(Source { group: group().await?.to_owned(), topic, log_id, partition })
}

/// The group under whose name positions are stored; it cannot change while the instance lives.
async fn group() -> Result<&'static str, Failure> {
    static GROUP: OnceLock<String> = OnceLock::new();
    if let Some(group) = GROUP.get() {
        return Ok(group);
    }
    let group = spin_sdk::variables::get("kafka_group")
        .await
        .map_err(|e| Failure::Fatal(format!("Spin variable `kafka_group`: {e}")))?;
    Ok(GROUP.get_or_init(|| group))
}

fn rejection(rejection: aggregate::Rejection) -> Rejection {
    Rejection { offset: rejection.offset, reason: rejection.reason }
}
