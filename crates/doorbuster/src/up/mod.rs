//! `doorbuster up`: the HTTP and the Kafka components of an application in one process.

mod args;
mod backends;
mod banner;
mod embedded;
mod reload;

use std::process::ExitCode;

use anyhow::Result;
use runner::{Addresses, Checks, Common, Parts, shutdown};
use tokio_util::task::AbortOnDropHandle;
use trigger_kafka::TriggerConfig;

pub use args::Args;
use backends::Backends;
use reload::{Files, Reload};

/// Runs until a signal, or until a part fails.
pub async fn run(args: Args) -> Result<ExitCode> {
    let common = Common::read(args.common.clone())?;
    let mut app = args.source.read().await?;
    if !args.component_id.is_empty() {
        app.retain_components(&args.component_id)?;
    }
    common.provide(&mut app);
    let backends = Backends::start(&args, &app, &common).await?;
    let variables = common.variables(&app, backends.variables(&app, &common)?)?;
    let configs = TriggerConfig::read_all(&app, &variables)?;
    for config in &configs {
        backends.ensure_topics(config).await?;
    }
    let files = Files::of(&app);
    let addresses = Addresses { listen: Some(args.listen), operator: args.operator };
    let parts = Parts::start(&app, &variables, &common, addresses, None).await?;
    let reload = Reload::new(files, parts.host(), parts.handlers());
    let _reload = AbortOnDropHandle::new(tokio::spawn(reload.run(args.watch)));
    // The embedded broker promises nothing.
    let checks = (!backends.forgets()).then(|| Checks::of(&configs, &variables));
    let _checks = checks.map(|checks| AbortOnDropHandle::new(tokio::spawn(checks.run())));
    banner::print(&app, &parts, &backends);
    let ended = parts.run(shutdown::signal()).await;
    backends.stop().await?;
    ended.map(|()| ExitCode::SUCCESS)
}
