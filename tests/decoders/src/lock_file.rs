//! The decoder of a locked application in JSON.

use std::path::Path;

use spin_app::App;

use crate::manifest::{check_locked, check_rights};

/// Checks an input.
pub fn check(bytes: &[u8]) {
    match App::from_json(Path::new("spin.lock"), bytes) {
        Ok(mut app) => {
            check_locked(&app);
            check_rights(&app);
            for source in app.sources_mut() {
                // Only file URLs may become paths.
                assert!(
                    source.path().is_ok_and(|path| path.is_absolute()) || source.path().is_err()
                );
                let _ = source.to_string();
            }
            app.retain_triggers(&["http"]);
            assert!(app.triggers.iter().all(|trigger| trigger.trigger_type == "http"));
        }
        Err(error) => assert!(error.to_string().starts_with("spin.lock"), "{error}"),
    }
}
