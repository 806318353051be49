//! `doorbuster replay`: passes a range of the log to a component again.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use component_host::output::Outputs;
use component_host::{Capability, CompileCache, Host, Limits};
use indicatif::{ProgressBar, ProgressStyle};
use kafka_trigger::{KafkaTrigger, ProducerCapability};
use spin_kafka_trigger::{
    Batch, Bound, Failure, Handler, Position, Progress, Range, Rejection, Summary, Trigger,
};
use tokio_util::task::AbortOnDropHandle;

use crate::application::Application;
use runner::shutdown;

/// How often the progress bar is updated.
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
        let bar = bar(trigger.progress());
        let summary = trigger.replay(range, shutdown::signal()).await?;
        drop(bar);
        printing::result(format_args!("{} records would be handed over", summary.records))?;
        return Ok(ExitCode::SUCCESS);
    }
    let producer = ProducerCapability::new(config.producer());
    let producer = producer.context("cannot set up the Kafka producer")?;
    let capability: Arc<dyn Capability> = Arc::new(producer);
    let host = Host::load(
        &app,
        &variables,
        Limits::default(),
        Outputs::default(),
        &CompileCache::UserFolder,
        &[capability],
    )?;
    let trigger = KafkaTrigger::new(config, &host)?;
    let bar = bar(trigger.progress());
    let Summary { records, batches, rejections, dead_letters, .. } =
        trigger.replay(range, shutdown::signal()).await?;
    drop(bar);
    printing::result(format_args!(
        "{records} records in {batches} batches; {rejections} rejected, {dead_letters} dead letters"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a progress bar until the returned handle is dropped.
fn bar(progress: Arc<Progress>) -> AbortOnDropHandle<()> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} offsets {per_sec} {eta}");
    let bar =
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut all = 0;
        loop {
            tokio::time::sleep(TICK).await;
            let left: u64 = progress.partitions().iter().map(|partition| partition.lag).sum();
            all = all.max(left);
            bar.set_length(all);
            bar.set_position(all - left);
        }
    }))
}

/// A handler that does nothing with the batches.
struct Reader;

impl Handler for Reader {
    async fn handle(&self, _: &Batch) -> Result<Vec<Rejection>, Failure> {
        Ok(Vec::new())
    }

    async fn position(&self, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
        Ok(Position::Committed)
    }
}
