//! `doorbuster up`: runs the HTTP and Kafka components of an application in one process.

mod args;
mod backends;
mod banner;
mod embedded;
mod reload;
mod topics;

use std::pin::pin;
use std::process::ExitCode;

use anyhow::Result;
use kafka_trigger::TriggerConfig;
use runner::{Addresses, Checks, Common, Parts, TRIGGER_TYPES, shutdown};
use tokio::signal::unix::Signal;
use tokio_util::task::AbortOnDropHandle;

pub use args::Args;
use backends::Backends;
use reload::{Files, Reload};

/// Runs until a signal is received or a part fails.
pub async fn run(args: Args) -> Result<ExitCode> {
    let mut signal = pin!(shutdown::signal());
    let hangup = reload::hangup();
    let running = tokio::select! {
        biased;
        () = &mut signal => return Ok(ExitCode::SUCCESS),
        running = Running::start(&args, hangup) => running?,
    };
    let Running { parts, mut backends, _topics, _reload, _checks } = running;
    let server_ended = backends.ended();
    let mut fault = None;
    let stop = async {
        tokio::select! {
            // `biased` checks for a signal first: the servers may end because of the same signal.
            biased;
            () = &mut signal => {}
            ended = server_ended => {
                tracing::error!("a server that this program started has ended; the program ends");
                fault = Some(ended);
            }
        }
    };
    let ended = parts.run(Box::pin(stop)).await;
    let stopped = backends.stop().await;
    if let Some(fault) = fault {
        return Err(fault);
    }
    stopped?;
    ended.map(|()| ExitCode::SUCCESS)
}

/// What was started.
struct Running {
    parts: Parts,
    backends: Backends,
    _topics: AbortOnDropHandle<()>,
    _reload: AbortOnDropHandle<()>,
    _checks: Option<AbortOnDropHandle<()>>,
}

impl Running {
    async fn start(args: &Args, hangup: Option<Signal>) -> Result<Self> {
        let common = Common::read(args.common.clone())?;
        let mut app = args.source.read().await?;
        if !args.component_id.is_empty() {
            app.retain_components(&args.component_id)?;
        }
        app.check_triggers(&TRIGGER_TYPES)?;
        common.provide(&mut app);
        let mut backends = Backends::start(args, &app, &common)?;
        let variables = common.variables(&app, backends.variables(args, &app, &common)?)?;
        let configs = TriggerConfig::read_all(&app, &variables)?;
        let mut later = Vec::new();
        for config in &configs {
            match backends.ensure_topics(config).await {
                Ok(()) => {}
                // If the application and its brokers start at the same time, it starts without them
                // and is not ready yet.
                Err(error) if topics::is_passing(&error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "topics not found; starting without them");
                    later.push(config.clone());
                }
                Err(error) => return Err(error),
            }
        }
        let topics = AbortOnDropHandle::new(tokio::spawn(topics::ensure_later(later)));
        let files = Files::of(&app);
        let addresses = Addresses { listen: Some(args.listen), operator: args.operator };
        let parts = Parts::start(&app, &variables, &common, addresses, None);
        let (parts, ()) = tokio::try_join!(parts, backends.ready())?;
        let reload = Reload::new(files, parts.host(), parts.handlers());
        let reload = AbortOnDropHandle::new(tokio::spawn(reload.run(hangup, args.watch)));
        // The embedded broker gives no guarantees that could be checked.
        let checks = (!backends.forgets()).then(|| Checks::of(&app, &configs, &variables));
        let checks = checks.map(|checks| AbortOnDropHandle::new(tokio::spawn(checks.run())));
        banner::print(&app, &parts, &backends);
        Ok(Self { parts, backends, _topics: topics, _reload: reload, _checks: checks })
    }
}
