//! The errors of applications.

use std::path::PathBuf;

use crate::origin::Place;

/// An error of an application. The text says what is wrong, where, and what to do. An error of the
/// operating system is the `source`, which the text does not repeat.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}{hint}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
        /// What to do about it, with a leading separator. May be empty.
        hint: &'static str,
    },
    /// The application is invalid, or requires something that this host does not support.
    #[error("{place}: {message}")]
    Manifest {
        /// The manifest, and the line if it is known.
        place: Place,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// A variable is missing, unknown or used in an invalid way.
    #[error("variable `{name}`: {message}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong, and how to set the variable.
        message: String,
    },
    /// An entry of `allowed_outbound_hosts` is invalid.
    #[error("component `{component}`: allowed_outbound_hosts: `{entry}`: {message}")]
    AllowedHost {
        /// The component.
        component: String,
        /// The entry, as written in the manifest.
        entry: String,
        /// What is wrong.
        message: String,
    },
}
