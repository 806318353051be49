//! The errors of loading and running an application.

use std::path::PathBuf;

/// An error of the host. The text says what was wrong, where, and what to do. An error of the
/// operating system is the `source`, which the text does not repeat.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The application is invalid, or requires something that this host does not support.
    #[error(transparent)]
    Application(#[from] spin_app::Error),
    /// A component cannot be composed with its dependencies.
    #[error("component `{component}`: dependency `{dependency}`: {message}")]
    Dependency {
        /// The component.
        component: String,
        /// The dependency's name in the manifest.
        dependency: String,
        /// What is wrong.
        message: String,
    },
    /// A component is invalid, or has an import that is not provided.
    #[error("component `{component}` ({wasm}): {message}")]
    Component {
        /// The component.
        component: String,
        /// Its file, or the digest of its layer.
        wasm: String,
        /// What is wrong; it names the import if there is one.
        message: String,
    },
    /// A guest could not be instantiated, trapped, or exceeded a limit.
    #[error("component `{component}`: {message}")]
    Guest {
        /// The component.
        component: String,
        /// What happened.
        message: String,
    },
    /// The process has as many instances as it may have.
    #[error("component `{component}`: the limit of instances is reached: {message}")]
    Full {
        /// The component.
        component: String,
        /// Which limit.
        message: String,
    },
    /// A handler of a trigger refuses a new build of its component.
    #[error(transparent)]
    Caller(Box<dyn std::error::Error + Send + Sync>),
    /// A component's log file or its folder cannot be written.
    #[error("cannot write {path}")]
    Log {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The output of a component that does not exist was to be followed.
    #[error("--follow: the application has no component `{component}`; it has {known}")]
    Follow {
        /// The component.
        component: String,
        /// The ids of the existing components.
        known: String,
    },
    /// The listening socket cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// wasmtime cannot be initialized on this machine.
    #[error("cannot start the WebAssembly engine: {0}")]
    Engine(String),
}

impl Error {
    /// Whether the same operation may succeed later without a change of the application or its
    /// settings.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Error::Guest { .. } | Error::Full { .. })
    }
}
