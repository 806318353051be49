//! The interfaces that containerd's library calls: the shim, and, in a container's process, the
//! application.

use std::thread;

use anyhow::Result;
use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::RuntimeContext;
use containerd_shim_wasm::shim::{Shim, Version};
use registry::LAYERS;

use crate::application::Image;
use crate::{environment, serve};

/// Exit code if the application did not start or failed.
const FAILED: i32 = 1;

/// The shim.
pub struct Doorbuster;

impl Shim for Doorbuster {
    type Sandbox = Application;

    fn name() -> &'static str {
        "doorbuster"
    }

    fn version() -> Version {
        Version { version: env!("CARGO_PKG_VERSION"), ..Version::default() }
    }

    fn supported_layers_types() -> &'static [&'static str] {
        LAYERS
    }
}

/// The application of a container.
#[derive(Default)]
pub struct Application;

impl Sandbox for Application {
    /// Accepts everything. Errors are reported by [`Application::run_wasi`] on the container's
    /// standard error; an error returned here would appear only in containerd's log, without its
    /// reason.
    async fn can_handle(&self, _context: &impl RuntimeContext) -> Result<()> {
        Ok(())
    }

    /// Runs the application until SIGTERM, and returns the container's exit code.
    async fn run_wasi(&self, context: &impl RuntimeContext) -> Result<i32> {
        let arguments = context.args().get(1..).unwrap_or_default().to_vec();
        let ran = environment::apply_container_environment(context.envs()).and_then(|()| {
            let image = Image::new(context)?;
            // On a new thread, because the caller has a tokio runtime and another one cannot be
            // started within it.
            let running = thread::Builder::new().name("application".into());
            let running = running.spawn(move || serve::run(image, &arguments))?;
            running.join().unwrap_or_else(|_| anyhow::bail!("a part of the program panicked"))
        });
        Ok(match ran {
            Ok(()) => 0,
            Err(error) => {
                printing::note(format_args!("Error: {error:#}"));
                FAILED
            }
        })
    }
}
