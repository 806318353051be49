//! Takes over new builds of the components while everything runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use component_host::{App, Host};
use tokio::signal::unix::{SignalKind, signal};
use trigger_kafka::GuestHandler;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// What a new build is given to.
pub struct Reload {
    host: Arc<Host>,
    handlers: Vec<GuestHandler>,
    files: Vec<PathBuf>,
}

impl Reload {
    pub fn new(app: &App, host: Arc<Host>, handlers: Vec<GuestHandler>) -> Self {
        let components = app.components.values();
        let files = components.flat_map(|component| {
            let dependencies = component.dependencies.iter().map(|d| d.source.clone());
            std::iter::once(component.source.clone()).chain(dependencies)
        });
        Self { host, handlers, files: files.collect() }
    }

    /// Reloads at each SIGHUP, and with `watch` when a file has changed and rests.
    pub async fn run(self, watch: bool) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => {
                tracing::warn!(%error, "cannot listen for SIGHUP; components stay as they are");
                return;
            }
        };
        let mut seen = self.changed_at();
        let mut loaded = seen.clone();
        loop {
            tokio::select! {
                _ = hangup.recv() => self.reload().await,
                () = tokio::time::sleep(INTERVAL), if watch => {
                    let now = self.changed_at();
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

    fn changed_at(&self) -> Vec<Option<SystemTime>> {
        let changed = |file| std::fs::metadata(file).and_then(|data| data.modified()).ok();
        self.files.iter().map(changed).collect()
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
