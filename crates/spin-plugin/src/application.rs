//! The application that `spin up` hands over.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use component_host::App;
use component_host::origin::Origin;
use serde_json::Value;
use url::Url;

/// Where the locked application is.
const LOCKED_URL: &str = "SPIN_LOCKED_URL";

/// The manifest's folder; empty for the current one; not set for an application from elsewhere.
const LOCAL_APP_DIR: &str = "SPIN_LOCAL_APP_DIR";

/// The folder beside the manifest in which Spin keeps state.
const STATE_DIR: &str = ".spin";

/// Where the application came from, in its metadata.
const ORIGIN: &str = "origin";

/// Reads it, and leaves only what is for Kafka.
pub fn read() -> Result<App> {
    let Ok(url) = std::env::var(LOCKED_URL) else {
        bail!(
            "{LOCKED_URL} is not set: `spin up` starts this program for an application with a \
             [[trigger.kafka]]"
        );
    };
    let path = Url::parse(&url).ok().and_then(|url| url.to_file_path().ok());
    let path = path.with_context(|| format!("{LOCKED_URL}={url}: not the URL of a file"))?;
    let text = std::fs::read(&path).with_context(|| format!("{LOCKED_URL}={url}"))?;
    let mut app = App::from_json(&path, &text)?;
    // Spin removes the lock file; what a user can look at is the manifest.
    let manifest = app.metadata.other.get(ORIGIN).and_then(Value::as_str);
    let manifest = manifest.and_then(|url| Url::parse(url).ok()?.to_file_path().ok());
    if let Some(manifest) = manifest {
        app.origin = Origin::whole(&manifest);
    }
    app.retain_triggers(&["kafka"]);
    Ok(app)
}

/// The state folder, unless something else is said.
pub fn state_dir() -> Option<PathBuf> {
    let dir = std::env::var_os(LOCAL_APP_DIR)?;
    Some(PathBuf::from(dir).join(STATE_DIR))
}
