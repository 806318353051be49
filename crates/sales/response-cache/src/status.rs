//! The header `Cache-Status` (RFC 9211).

use std::fmt;

use http::HeaderName;

/// The header.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// The cache does not handle such requests.
    Bypass,
    /// The method.
    Method,
    /// The request demands it.
    Request,
    /// The stored response is stale, or has to be validated.
    Stale,
    /// The stored responses are for other credentials, or cannot be read now.
    Miss,
    /// There is no response for this target.
    UriMiss,
    /// There are responses for this target, but not for these headers.
    VaryMiss,
}

/// What the cache did with a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Why the request was passed on; `None` if a stored response was the answer.
    pub forwarded: Option<Forwarded>,
    /// The status of the component's response, if the answer has another one.
    pub forwarded_status: Option<u16>,
    /// The seconds for which the answer is fresh; negative if it is stale.
    pub ttl_s: Option<i64>,
    /// Whether the response was stored.
    pub is_stored: bool,
    /// Whether the answer is the response to another request, for which this one has waited.
    pub is_collapsed: bool,
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Doorbuster")?;
        match self.forwarded {
            None => out.write_str("; hit")?,
            Some(reason) => write!(out, "; fwd={}", reason.as_str())?,
        }
        if let Some(status) = self.forwarded_status {
            write!(out, "; fwd-status={status}")?;
        }
        if self.is_stored {
            out.write_str("; stored")?;
        }
        if let Some(ttl_s) = self.ttl_s {
            write!(out, "; ttl={ttl_s}")?;
        }
        if self.is_collapsed {
            out.write_str("; collapsed")?;
        }
        Ok(())
    }
}

impl Forwarded {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_cache_did() {
        let hit = Status { ttl_s: Some(-3), ..Status::default() };
        assert_eq!(hit.to_string(), "Doorbuster; hit; ttl=-3");
        let validated = Status {
            forwarded: Some(Forwarded::Stale),
            forwarded_status: Some(304),
            ttl_s: Some(60),
            is_stored: true,
            is_collapsed: false,
        };
        assert_eq!(validated.to_string(), "Doorbuster; fwd=stale; fwd-status=304; stored; ttl=60");
        let shared = Status {
            forwarded: Some(Forwarded::UriMiss),
            ttl_s: Some(60),
            is_collapsed: true,
            ..Status::default()
        };
        assert_eq!(shared.to_string(), "Doorbuster; fwd=uri-miss; ttl=60; collapsed");
    }
}
