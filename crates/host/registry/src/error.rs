//! The errors of pushing and pulling an application.

use std::path::PathBuf;
use std::time::Duration;

use oci_client::errors::OciDistributionError;

/// An error of an artifact or its registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a reference.
    #[error("`{text}` is no reference of an artifact: {message}")]
    Reference {
        /// The text.
        text: String,
        /// What is wrong.
        message: String,
    },
    /// Docker's configuration cannot be read.
    #[error("cannot read {path}")]
    Configuration {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Docker's configuration has a token of a kind that is not supported.
    #[error(
        "{path} has an identity token for {registry}, which is not supported; log in with a user \
         and a password or an access token"
    )]
    IdentityToken {
        /// The registry.
        registry: String,
        /// The file.
        path: PathBuf,
    },
    /// The registry cannot be reached, or refuses the request.
    #[error("cannot {what} {reference}{hint}")]
    Registry {
        /// The operation that failed.
        what: &'static str,
        /// The artifact.
        reference: String,
        /// What to do about it, with a leading separator. May be empty.
        hint: &'static str,
        /// The error of the registry or of the network.
        source: Box<OciDistributionError>,
    },
    /// The operation took too long.
    #[error("cannot {what} {reference}: it took longer than {} s", .limit.as_secs())]
    Slow {
        /// The operation.
        what: &'static str,
        /// The artifact.
        reference: String,
        /// The time limit.
        limit: Duration,
    },
    /// Docker's credential helper does not answer.
    #[error(
        "no credentials for {registry} within {} s: the credential helper that {path} names does \
         not answer; run it by hand, or log in without it",
        .limit.as_secs()
    )]
    Helper {
        /// The registry.
        registry: String,
        /// Docker's configuration.
        path: PathBuf,
        /// The time limit.
        limit: Duration,
    },
    /// The artifact is not a Spin application, or is incomplete.
    #[error("{artifact} is no Spin application: {message}")]
    NotAnApplication {
        /// The artifact.
        artifact: String,
        /// What is wrong.
        message: String,
    },
    /// The application cannot be stored as an artifact.
    #[error("the application cannot be pushed: {0}")]
    Unfit(String),
    /// The host cannot read the application in the artifact.
    #[error(transparent)]
    Application(#[from] spin_app::Error),
}

impl Error {
    /// Whether the same operation may succeed later without a change of the artifact or the
    /// configuration.
    pub fn is_retriable(&self) -> bool {
        let source = match self {
            Error::Slow { .. } | Error::Helper { .. } => return true,
            Error::Registry { source, .. } => source,
            _ => return false,
        };
        match &**source {
            OciDistributionError::RequestError(error) => !error.is_builder(),
            OciDistributionError::IoError(_) => true,
            OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
            _ => false,
        }
    }
}
