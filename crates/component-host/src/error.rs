//! What can go wrong between a manifest and a running application.

use std::path::PathBuf;

use crate::origin::Place;

/// A fault of the host. Each says what was wrong, where, and what to do; what the system says
/// about it is its source, which its text does not repeat.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}{hint}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
        /// What to do about it, with a leading separator; may be empty.
        hint: &'static str,
    },
    /// The application is not what it must be, or asks for what this host has not.
    #[error("{place}: {message}")]
    Manifest {
        /// The manifest, and the line if it is known.
        place: Place,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// A variable is missing, unknown or badly used.
    #[error("variable `{name}`: {message}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong and how to give it.
        message: String,
    },
    /// An entry of `allowed_outbound_hosts` is not understood.
    #[error("component `{component}`: allowed_outbound_hosts: `{entry}`: {message}")]
    AllowedHost {
        /// The component.
        component: String,
        /// The entry, as the manifest has it.
        entry: String,
        /// What is wrong.
        message: String,
    },
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
    /// A component is no valid component, or imports what nobody provides.
    #[error("component `{component}` ({wasm}): {message}")]
    Component {
        /// The component.
        component: String,
        /// Its file, or the digest of its layer.
        wasm: String,
        /// What is wrong, naming the import where it is one.
        message: String,
    },
    /// A guest could not be instantiated, trapped or ran out of its limits.
    #[error("component `{component}`: {message}")]
    Guest {
        /// The component.
        component: String,
        /// What happened.
        message: String,
    },
    /// A component's log file or its folder cannot be written.
    #[error("cannot write {path}")]
    Log {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A component is to be followed that is not there.
    #[error("--follow: the application has no component `{component}`; it has {known}")]
    Follow {
        /// The component.
        component: String,
        /// Those that there are.
        known: String,
    },
    /// The listening socket cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// wasmtime cannot be set up on this machine.
    #[error("cannot start the WebAssembly engine: {0}")]
    Engine(String),
}

impl Error {
    /// Whether the same step may succeed later without anyone changing anything.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Error::Guest { .. })
    }
}
