//! `doorbuster up`: runs the HTTP and Kafka components of an application in one process.

mod args;
mod backends;
mod banner;
mod embedded;
mod live_page;
mod reload;
mod topics;

use std::pin::pin;
use std::process::ExitCode;

use anyhow::Result;
use runner::{MetricsExport, PreparedApp, RunOptions, Session, shutdown};
use tokio::signal::unix::Signal;
use tokio_util::task::AbortOnDropHandle;

pub use args::Args;
use args::LetterAccess;
use backends::Backends;
use live_page::LivePage;
use reload::{ComponentFiles, Reload};

/// Runs until a signal is received or a part fails. `metrics` is the export of the metrics, if one
/// is configured.
pub async fn run(args: Args, metrics: Option<MetricsExport>) -> Result<ExitCode> {
    let mut signal = pin!(shutdown::signal());
    let hangup = reload::hangup();
    let running = tokio::select! {
        biased;
        () = &mut signal => return Ok(ExitCode::SUCCESS),
        running = Running::start(&args, hangup) => running?,
    };
    let Running { mut session, mut backends, _topics, _reload } = running;
    session.export_metrics(metrics);
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
    let ended = session.run(Box::pin(stop)).await;
    let stopped = backends.stop().await;
    if let Some(fault) = fault {
        return Err(fault);
    }
    stopped?;
    ended.map(|()| ExitCode::SUCCESS)
}

/// The started application and its servers.
struct Running {
    session: Session,
    backends: Backends,
    _topics: AbortOnDropHandle<()>,
    _reload: AbortOnDropHandle<()>,
}

impl Running {
    async fn start(args: &Args, hangup: Option<Signal>) -> Result<Self> {
        let options = RunOptions::read(args.common.clone())?;
        let mut app = args.source.read().await?;
        if !args.component_id.is_empty() {
            app.retain_components(&args.component_id)?;
        }
        options.apply(&mut app)?;
        let live_page = LivePage::bind(args, &app, &options).await?;
        let mut backends = Backends::start(args, &app, &options)?;
        let mut known = backends.variables(args, &app, &options)?;
        known.extend(live_page.variables());
        let prepared = PreparedApp::new(options, app, known)?;
        let files = ComponentFiles::new(prepared.app());
        let start = prepared.start(live_page.addresses(args), None);
        let ready = backends.ready(prepared.triggers());
        let (mut session, later) = tokio::try_join!(start, ready)?;
        let topics = AbortOnDropHandle::new(tokio::spawn(topics::ensure_later(later)));
        let reload = Reload::new(files, session.builds());
        let reload = AbortOnDropHandle::new(tokio::spawn(reload.run(hangup, args.watch)));
        // The embedded broker gives no guarantees that could be checked.
        if !backends.are_temporary() {
            session.check_servers(&prepared);
        }
        let default =
            if backends.are_temporary() { LetterAccess::View } else { LetterAccess::None };
        let access = args.dead_letters.unwrap_or(default);
        if access != LetterAccess::None {
            let are_known = session.serve_dead_letters(&prepared, access == LetterAccess::Replay);
            if args.dead_letters.is_some() {
                if !are_known {
                    tracing::warn!(
                        "--dead-letters has no effect: no Kafka trigger with `failed_records = \
                         \"dead-letter\"` has a known dead-letter topic; set `dead_letter_topic`, \
                         or subscribe to topics by name"
                    );
                } else if session.operator_addresses().is_empty() {
                    tracing::warn!(
                        "--dead-letters has no effect without an operator port: --operator"
                    );
                }
            }
        }
        banner::print(&prepared, &session, &backends);
        Ok(Self { session, backends, _topics: topics, _reload: reload })
    }
}
