//! The errors of downloads.

use std::time::Duration;

/// A component could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or the connection broke off.
    #[error("cannot download {url}")]
    Connection {
        /// The URL of the component.
        url: String,
        /// The error of the network.
        source: reqwest::Error,
    },
    /// The server answered with an error.
    #[error("cannot download {url}: it answered {status}")]
    Status {
        /// The URL of the component.
        url: String,
        /// The status of the response.
        status: u16,
    },
    /// The component is too large.
    #[error("cannot download {url}: the components at URLs have more than {limit} bytes")]
    TooLarge {
        /// The URL of the component.
        url: String,
        /// The most bytes that are left for it.
        limit: usize,
    },
    /// The downloads took too long.
    #[error("the components at URLs were not downloaded in {} s", .limit.as_secs())]
    Slow {
        /// The time limit.
        limit: Duration,
    },
    /// The content is not that of the manifest.
    #[error(
        "{url} has the digest {actual}, and not {expected}: the file was changed, or the manifest \
         has the digest of another one"
    )]
    Digest {
        /// The URL of the component.
        url: String,
        /// The digest in the manifest.
        expected: String,
        /// The digest of what was downloaded.
        actual: String,
    },
    /// The HTTP client cannot be created, for example because the settings of a proxy are invalid.
    #[error("cannot create the client for downloads")]
    Client(#[source] reqwest::Error),
    /// The thread that computes the digest ended.
    #[error("the digest was not computed")]
    Check(#[source] tokio::task::JoinError),
}

impl Error {
    /// Whether a later attempt may succeed without a change of the manifest or the configuration.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Connection { .. } | Error::Slow { .. } => true,
            Error::Status { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            Error::TooLarge { .. } | Error::Digest { .. } | Error::Client(_) | Error::Check(_) => {
                false
            }
        }
    }
}
