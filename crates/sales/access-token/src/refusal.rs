//! Why a request is refused, and the response.

use http::{HeaderValue, StatusCode};
use intake::Problem;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Rules exist, and the path could be read in several ways.
    Path,
    /// There is no token.
    Missing,
    /// There are several `Authorization` headers, or one that is not `Bearer TOKEN`.
    Malformed,
    /// The token is longer than the limit.
    TooLong,
    /// The token is not a valid token of an accepted issuer for an accepted audience.
    Invalid,
    /// The token has expired.
    Expired,
    /// The token is not valid yet.
    NotYet,
    /// No key fits the token. The keys may have changed.
    UnknownKey,
    /// A claim cannot be passed on in a header.
    Claim,
    /// The token lacks a claim that the route requires.
    Forbidden,
    /// The keys could not be fetched.
    NoKeys,
    /// The configuration is not valid.
    Configuration,
}

impl Refusal {
    /// The response as problem details.
    pub fn problem(self) -> Problem {
        let (kind, status) = match self {
            Self::Path => ("urn:doorbuster:problem:invalid", StatusCode::BAD_REQUEST),
            Self::Malformed => ("urn:doorbuster:problem:token", StatusCode::BAD_REQUEST),
            Self::Forbidden => ("urn:doorbuster:problem:forbidden", StatusCode::FORBIDDEN),
            Self::NoKeys => ("urn:doorbuster:problem:unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::Configuration => ("urn:doorbuster:problem:downstream", StatusCode::BAD_GATEWAY),
            Self::Missing
            | Self::TooLong
            | Self::Invalid
            | Self::Expired
            | Self::NotYet
            | Self::UnknownKey
            | Self::Claim => ("urn:doorbuster:problem:token", StatusCode::UNAUTHORIZED),
        };
        Problem::new(kind, status, self.detail())
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Path => {
                "the path is ambiguous: it has empty or dot segments, or escapes that do not \
                 belong into a path"
            }
            Self::Missing => "an access token is required: `Authorization: Bearer TOKEN`",
            Self::Malformed => "exactly one header `Authorization: Bearer TOKEN` is allowed",
            Self::TooLong => "the access token is too long",
            Self::Invalid | Self::UnknownKey => "the access token is not valid for this service",
            Self::Expired => "the access token has expired",
            Self::NotYet => "the access token is not valid yet",
            Self::Claim => "the access token has a claim that cannot be passed on",
            Self::Forbidden => "the access token does not permit this request",
            Self::NoKeys => "access tokens cannot be checked at the moment",
            Self::Configuration => {
                "access tokens cannot be checked: the configuration is not valid"
            }
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750); `None` for a failure that has nothing to do with
    /// the token.
    pub fn challenge(self) -> Option<HeaderValue> {
        let challenge = match self {
            Self::Path | Self::NoKeys | Self::Configuration => return None,
            Self::Missing => "Bearer",
            Self::Malformed => "Bearer error=\"invalid_request\"",
            Self::Forbidden => "Bearer error=\"insufficient_scope\"",
            Self::Expired => {
                "Bearer error=\"invalid_token\", error_description=\"the token has expired\""
            }
            Self::TooLong | Self::Invalid | Self::NotYet | Self::UnknownKey | Self::Claim => {
                "Bearer error=\"invalid_token\""
            }
        };
        Some(HeaderValue::from_static(challenge))
    }
}
