//! Replaces components with new builds at run time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use component_host::Host;
use kafka_trigger::GuestHandler;
use spin_app::App;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the files are checked.
const INTERVAL: Duration = Duration::from_millis(500);

/// The files of the components, and the time of the last change of each.
pub struct Files {
    paths: Vec<PathBuf>,
    changed: Vec<Option<SystemTime>>,
}

impl Files {
    /// The current state of the files. It must be determined before they are loaded.
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

/// Listens for SIGHUP. Call this before anything is started: until then SIGHUP ends the program. A
/// SIGHUP that is received during the start is handled after it.
pub fn hangup() -> Option<Signal> {
    let hangup = signal(SignalKind::hangup());
    hangup
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot listen for SIGHUP; components stay as they are");
        })
        .ok()
}

/// What a new build is passed to.
pub struct Reload {
    host: Arc<Host>,
    handlers: Vec<GuestHandler>,
    files: Files,
}

impl Reload {
    /// `files` is the state of the files that the host has loaded.
    pub fn new(files: Files, host: Arc<Host>, handlers: Vec<GuestHandler>) -> Self {
        Self { host, handlers, files }
    }

    /// Reloads at each SIGHUP and, with `watch`, when a file has changed and then remained
    /// unchanged for one interval.
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

    /// Reloads the components. If a build cannot be loaded, nothing changes.
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
