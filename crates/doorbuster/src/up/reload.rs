//! Takes over new builds of the components while everything runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use component_host::{App, Host};
use tokio::signal::unix::{Signal, SignalKind, signal};
use trigger_kafka::GuestHandler;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// The components' files, and when each was last changed.
pub struct Files {
    paths: Vec<PathBuf>,
    changed: Vec<Option<SystemTime>>,
}

impl Files {
    /// As they are now: to be asked before they are loaded.
    pub fn of(app: &App) -> Self {
        let sources = app.started().flat_map(|component| {
            let dependencies = component.dependencies.values().map(|d| &d.source);
            std::iter::once(&component.source).chain(dependencies)
        });
        let paths = sources.filter_map(|source| source.path().ok()).collect();
        let mut files = Self { paths, changed: Vec::new() };
        files.changed = files.look();
        files
    }

    fn look(&self) -> Vec<Option<SystemTime>> {
        let changed = |path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
        self.paths.iter().map(changed).collect()
    }
}

/// Listens for SIGHUP. To be called before anything is started: SIGHUP would otherwise end the
/// program, and what it means while a start is under way is done after it.
pub fn hangup() -> Option<Signal> {
    let hangup = signal(SignalKind::hangup());
    hangup
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot listen for SIGHUP; components stay as they are");
        })
        .ok()
}

/// What a new build is given to.
pub struct Reload {
    host: Arc<Host>,
    handlers: Vec<GuestHandler>,
    files: Files,
}

impl Reload {
    /// The files are those that the host has loaded.
    pub fn new(files: Files, host: Arc<Host>, handlers: Vec<GuestHandler>) -> Self {
        Self { host, handlers, files }
    }

    /// Reloads at each SIGHUP, and with `watch` when a file has changed and rests.
    pub async fn run(self, mut hangup: Option<Signal>, watch: bool) {
        let mut loaded = self.files.changed.clone();
        let mut seen = loaded.clone();
        loop {
            tokio::select! {
                () = received(&mut hangup) => self.reload().await,
                () = tokio::time::sleep(INTERVAL), if watch => {
                    let now = self.files.look();
                    let rests = now == seen;
                    seen = now;
                    if rests && seen != loaded && seen.iter().all(Option::is_some) {
                        loaded = seen.clone();
                        self.reload().await;
                    }
                }
            }
        }
    }

    /// A build that does not load leaves everything as it is.
    async fn reload(&self) {
        let host = self.host.clone();
        let loaded = tokio::task::spawn_blocking(move || host.reload()).await;
        let loaded = match loaded {
            Ok(loaded) => loaded.map_err(anyhow::Error::from),
            Err(panic) => Err(panic.into()),
        };
        match loaded.and_then(|()| self.swap()) {
            Ok(()) => tracing::info!("new builds of the components run"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the components were not replaced; the old builds go on");
            }
        }
    }

    fn swap(&self) -> anyhow::Result<()> {
        for handler in &self.handlers {
            if let Some(guest) = self.host.guest(&handler.component()) {
                handler.swap(guest)?;
            }
        }
        Ok(())
    }
}

/// Resolves at each signal; never without a listener.
async fn received(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending().await
    }
}
