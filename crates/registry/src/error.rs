//! What can go wrong between an application and a registry.

use std::path::PathBuf;
use std::time::Duration;

use oci_client::errors::OciDistributionError;

/// A fault with an artifact or its registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name is none.
    #[error("`{text}` is no reference of an artifact: {message}")]
    Reference {
        /// The name.
        text: String,
        /// What is wrong.
        message: String,
    },
    /// Docker's configuration cannot be read.
    #[error("cannot read {path}")]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Docker's configuration has a token of a kind that is not taken.
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
    /// The registry cannot be reached, or refuses.
    #[error("cannot {what} {reference}{hint}")]
    Registry {
        /// What was to be done.
        what: &'static str,
        /// The artifact.
        reference: String,
        /// What to do about it, with a leading separator; may be empty.
        hint: &'static str,
        /// What the registry or the network says.
        source: Box<OciDistributionError>,
    },
    /// It took too long.
    #[error("cannot {what} {reference}: it took longer than {} s", .limit.as_secs())]
    Slow {
        /// What was to be done.
        what: &'static str,
        /// The artifact.
        reference: String,
        /// The time it may take.
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
        /// The time it may take.
        limit: Duration,
    },
    /// The artifact is no Spin application, or one that is not whole.
    #[error("{artifact} is no Spin application: {message}")]
    NotAnApplication {
        /// The artifact.
        artifact: String,
        /// What is wrong.
        message: String,
    },
    /// The application cannot be an artifact.
    #[error("the application cannot be pushed: {0}")]
    Unfit(String),
    /// What is in the artifact this host does not read.
    #[error(transparent)]
    Application(#[from] component_host::Error),
}

impl Error {
    /// Whether the same may succeed later without anyone changing anything.
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
