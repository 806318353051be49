//! Replaces the components of a running application with other builds.

use std::sync::Arc;

use anyhow::Result;
use component_host::{Caller, Host};

/// The host, and the handlers of the triggers that call its components.
pub struct Builds {
    host: Arc<Host>,
    handlers: Arc<[Box<dyn Caller>]>,
}

impl Builds {
    pub(crate) fn new(host: Arc<Host>, handlers: Arc<[Box<dyn Caller>]>) -> Self {
        Self { host, handlers }
    }

    /// Loads the files of the components again. If one of them cannot be loaded, or a handler refuses
    /// one, nothing changes.
    pub async fn reload(&self) -> Result<()> {
        let (host, handlers) = (self.host.clone(), self.handlers.clone());
        tokio::task::spawn_blocking(move || host.reload(&handlers)).await??;
        Ok(())
    }
}
