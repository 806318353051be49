//! What can go wrong between an application and a registry.

use std::path::PathBuf;

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
        let Error::Registry { source, .. } = self else { return false };
        match &**source {
            OciDistributionError::RequestError(error) => !error.is_builder(),
            OciDistributionError::IoError(_) => true,
            OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
            _ => false,
        }
    }
}
