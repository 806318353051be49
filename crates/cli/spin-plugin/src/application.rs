//! The application that `spin up` passes to the plugin.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use spin_app::App;
use spin_app::origin::Origin;
use url::Url;

use crate::trigger_type::TriggerType;

/// Variable with the URL of the locked application.
const LOCKED_URL: &str = "SPIN_LOCKED_URL";

/// Variable with the folder of the manifest. It is empty for the current folder, and not set for an
/// application that is not on this machine.
const LOCAL_APP_DIR: &str = "SPIN_LOCAL_APP_DIR";

/// The folder beside the manifest in which Spin stores state.
const STATE_DIR: &str = ".spin";

/// The metadata field with the origin of the application.
const ORIGIN: &str = "origin";

/// Reads the locked application, and removes everything that is not for this type of trigger.
pub fn read(trigger_type: TriggerType) -> Result<App> {
    let Ok(url) = std::env::var(LOCKED_URL) else {
        bail!(
            "{LOCKED_URL} is not set: `spin up` starts this program for an application with a \
             [[trigger.{}]]",
            trigger_type.name()
        );
    };
    let path = Url::parse(&url).ok().and_then(|url| url.to_file_path().ok());
    let path = path.with_context(|| format!("{LOCKED_URL}={url}: not the URL of a file"))?;
    let text = std::fs::read(&path).with_context(|| format!("{LOCKED_URL}={url}"))?;
    let mut app = App::from_json(&path, &text)?;
    // Error texts refer to the manifest, because Spin deletes the lock file.
    let manifest = app.metadata.other.get(ORIGIN).and_then(Value::as_str);
    let manifest = manifest.and_then(|url| Url::parse(url).ok()?.to_file_path().ok());
    if let Some(manifest) = manifest {
        app.origin = Origin::whole(&manifest);
    }
    app.retain_triggers(&[trigger_type.name()]);
    Ok(app)
}

/// The default folder for state; None if the application is not on this machine.
pub fn state_dir() -> Option<PathBuf> {
    let dir = std::env::var_os(LOCAL_APP_DIR)?;
    Some(PathBuf::from(dir).join(STATE_DIR))
}
