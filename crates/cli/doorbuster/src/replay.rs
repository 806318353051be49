//! `doorbuster replay`: passes a range of the log to a component again.

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use component_host::output::Outputs;
use component_host::{Capability, CompileCache, Host, Limits};
use kafka_trigger::{KafkaTrigger, ProducerCapability};
use printing::Progress;
use spin_kafka_trigger::{
    Batch, Bound, Failure, Handler, Position, Range, Rejection, Summary, Trigger,
};
use valkey_provider::ValkeyProvider;

use crate::application::Application;
use runner::shutdown;

/// How often the progress is updated.
const TICK: Duration = Duration::from_millis(200);

/// Run a component again over a part of its topics, outside the consumer group.
///
/// Nothing is committed. A component that stores its position, such as the aggregator, recognises
/// what it applied before and counts nothing twice. Any other component handles the records again.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    application: Application,
    /// First record of each partition: an offset, a time (RFC 3339), or `earliest`.
    #[arg(long, value_name = "PLACE", default_value = "earliest")]
    since: Bound,
    /// End of the range, exclusive: an offset, a time (RFC 3339), or `latest`.
    #[arg(long, value_name = "PLACE", default_value = "latest")]
    until: Bound,
    /// Only read and count the records; do not call the component.
    #[arg(long)]
    dry_run: bool,
}

/// Replays the range and prints the result.
pub async fn main(args: Args) -> Result<ExitCode> {
    let (app, variables) = args.application.read().await?;
    let config = args.application.trigger(&app, &variables)?;
    let range = Range { from: args.since, to: args.until };
    if args.dry_run {
        let trigger = Trigger::new(config.engine, Reader)?;
        let partitions = trigger.progress();
        let replay = trigger.replay(range, shutdown::signal());
        let summary = with_progress(partitions, replay).await?;
        printing::result(format_args!("{} records would be handed over", summary.records))?;
        return Ok(ExitCode::SUCCESS);
    }
    let producer = ProducerCapability::new(config.producer());
    let producer = producer.context("cannot set up the Kafka producer")?;
    let mut capabilities: Vec<Arc<dyn Capability>> =
        vec![Arc::new(producer), Arc::new(ValkeyProvider::default())];
    let runtime = args.application.variables.runtime_config()?;
    capabilities.extend(stores::capabilities(&runtime.stores()));
    let host = Host::load_with_tls(
        &app,
        &variables,
        Limits::default(),
        Outputs::default(),
        &CompileCache::UserFolder,
        &capabilities,
        &runtime.client_tls()?,
    )?;
    let trigger = KafkaTrigger::new(config, &host)?;
    let partitions = trigger.observed().progress.clone();
    let replay = trigger.replay(range, shutdown::signal());
    let Summary { records, batches, rejections, dead_letters, .. } =
        with_progress(partitions, replay).await?;
    printing::result(format_args!(
        "{records} records in {batches} batches; {rejections} rejected, {dead_letters} dead letters"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `replay`, and shows the progress of the partitions until it has ended.
async fn with_progress<T>(
    partitions: Arc<spin_kafka_trigger::Progress>,
    replay: impl Future<Output = T>,
) -> T {
    let (mut replay, mut ticks) = (pin!(replay), tokio::time::interval(TICK));
    let progress = Progress::of_total(0, "offsets");
    let mut all = 0;
    loop {
        tokio::select! {
            ended = &mut replay => return ended,
            _ = ticks.tick() => {}
        }
        let left: u64 = partitions.partitions().iter().map(|partition| partition.lag).sum();
        all = all.max(left);
        progress.set_total(all);
        progress.set(all - left);
    }
}

/// A handler that does nothing with the batches.
struct Reader;

impl Handler for Reader {
    async fn handle(&self, _: &Batch) -> Result<Vec<Rejection>, Failure> {
        Ok(Vec::new())
    }

    async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
        Ok(Position::Committed)
    }
}
