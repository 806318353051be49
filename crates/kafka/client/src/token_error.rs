//! The errors of a request for a token.

/// There is no token for SASL OAUTHBEARER. The texts contain neither secrets nor tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The settings contain no token, or one that cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The provider does not answer, or does not answer properly now.
    #[error("no token from {provider}: {reason}")]
    Unavailable {
        /// The provider's scheme, host and port.
        provider: String,
        /// The last error.
        reason: String,
    },
    /// The provider refuses the request.
    #[error("{provider} refuses a token: {reason}")]
    Refused {
        /// The provider's scheme, host and port.
        provider: String,
        /// The provider's answer.
        reason: String,
    },
}

impl TokenError {
    /// Whether a later attempt may succeed without a change of the settings or of the provider.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The class of the error, for the log.
    #[cfg(feature = "tls")]
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Unusable(_) => "unusable",
            Self::Unavailable { .. } => "unavailable",
            Self::Refused { .. } => "refused",
        }
    }
}
