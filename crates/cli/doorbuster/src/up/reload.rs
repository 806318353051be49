//! Replaces components with new builds at run time.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use runner::Builds;
use spin_app::App;
use spin_app::app::Component;
use spin_app::files::MountedFile;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the files are checked.
const INTERVAL: Duration = Duration::from_millis(500);

/// The files of the components, also those that they read, and the time of the last change of each.
pub struct ComponentFiles {
    paths: Vec<PathBuf>,
    changed: Vec<Option<SystemTime>>,
}

impl ComponentFiles {
    /// The current state of the files. It must be determined before they are loaded.
    pub fn new(app: &App) -> Self {
        let sources = app.started().flat_map(Component::sources);
        let sources = sources.filter_map(|source| source.path().ok());
        let files = app.started().flat_map(|component| &component.files);
        let paths = sources.chain(files.filter_map(MountedFile::local_path)).collect();
        let mut files = Self { paths, changed: Vec::new() };
        files.changed = files.modified();
        files
    }

    fn modified(&self) -> Vec<Option<SystemTime>> {
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
            tracing::warn!(%error, "cannot listen for SIGHUP; components are not reloaded at this signal");
        })
        .ok()
}

/// The components, and their files.
pub struct Reload {
    builds: Builds,
    files: ComponentFiles,
}

impl Reload {
    /// `files` is the state of the files that were loaded.
    pub fn new(files: ComponentFiles, builds: Builds) -> Self {
        Self { builds, files }
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
                    let now = self.files.modified();
                    let is_complete = now == seen;
                    seen = now;
                    if is_complete && seen != loaded && seen.iter().all(Option::is_some) {
                        loaded = seen.clone();
                        self.reload().await;
                    }
                }
            }
        }
    }

    /// Reloads the components. If a build cannot be loaded, nothing changes.
    async fn reload(&self) {
        match self.builds.reload().await {
            Ok(()) => tracing::info!("new builds of the components are running"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the components were not replaced; the old builds continue to run"
                );
            }
        }
    }
}

/// Resolves at each signal; never, if there is no listener.
async fn received(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending().await
    }
}
