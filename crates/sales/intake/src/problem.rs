//! Failures over HTTP, as problem details (RFC 9457).

use std::borrow::Cow;

use http::StatusCode;
use sale::Violation;
use serde::{Deserialize, Serialize};

use crate::IntakeError;

/// Media type of problem details.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Value of `Retry-After`, in seconds, for failures that may be temporary.
pub const RETRY_AFTER_SECONDS: u32 = 1;

/// A failure, as it is written to the response body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The kind of the problem: `urn:doorbuster:problem:<kind>`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The kind as a short text.
    pub title: Cow<'static, str>,
    /// The HTTP status of the response.
    pub status: u16,
    /// What is wrong with this request, and what the client can do.
    pub detail: String,
    /// The field or header that is not valid; None if the problem is not about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'static, str>>,
}

impl Problem {
    /// A problem of one of the kinds that are listed in `docs/reference/http.md`.
    pub fn new(kind: &'static str, status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            title: status.canonical_reason().unwrap_or("Problem").into(),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
        }
    }

    /// The same problem with the name of the field or header that is wrong.
    pub fn with_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The status as a type of the `http` crate.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Serializes the problem as a response body.
    pub fn to_json(&self) -> Vec<u8> {
        // This cannot fail: strings and a number are written to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether the response has a `Retry-After` header.
    pub fn is_temporary(&self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// The error that a failed response of the next hop stands for: from its body if that contains
    /// problem details, otherwise from its status.
    pub fn to_error(status: StatusCode, body: &[u8]) -> IntakeError {
        let problem = serde_json::from_slice::<Problem>(body).ok();
        let detail = match &problem {
            Some(problem) => problem.detail.clone(),
            None => format!("the next hop answered {status}"),
        };
        match status {
            StatusCode::BAD_REQUEST => match problem.and_then(|problem| problem.field) {
                Some(field) => IntakeError::Invalid(Violation::new(field, detail)),
                // A client's error always names a field, so this is a failure between the hops.
                None => IntakeError::Other(detail),
            },
            StatusCode::UNPROCESSABLE_ENTITY => IntakeError::KeyTaken(detail),
            StatusCode::TOO_MANY_REQUESTS => IntakeError::Overloaded(detail),
            StatusCode::SERVICE_UNAVAILABLE => IntakeError::Unavailable(detail),
            StatusCode::GATEWAY_TIMEOUT => IntakeError::TimedOut(detail),
            _ => IntakeError::Other(detail),
        }
    }
}

impl IntakeError {
    /// The HTTP status of this error.
    pub fn http_status(&self) -> StatusCode {
        match self {
            IntakeError::Invalid(_) => StatusCode::BAD_REQUEST,
            IntakeError::KeyTaken(_) => StatusCode::UNPROCESSABLE_ENTITY,
            IntakeError::Overloaded(_) => StatusCode::TOO_MANY_REQUESTS,
            IntakeError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            IntakeError::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            IntakeError::Other(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        let kind = match error {
            IntakeError::Invalid(violation) => return violation.into(),
            IntakeError::KeyTaken(_) => "urn:doorbuster:problem:key-taken",
            IntakeError::Overloaded(_) => "urn:doorbuster:problem:overloaded",
            IntakeError::Unavailable(_) => "urn:doorbuster:problem:unavailable",
            IntakeError::TimedOut(_) => "urn:doorbuster:problem:timed-out",
            IntakeError::Other(_) => "urn:doorbuster:problem:downstream",
        };
        Self::new(kind, error.http_status(), error.for_client())
    }
}

impl From<Violation> for Problem {
    fn from(violation: Violation) -> Self {
        Self::new("urn:doorbuster:problem:invalid", StatusCode::BAD_REQUEST, violation.reason)
            .with_field(violation.field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_survives_a_hop_over_http() {
        for error in [
            IntakeError::Invalid(Violation::new("precio", "must be a number")),
            IntakeError::KeyTaken("another".into()),
            IntakeError::Overloaded("full".into()),
            IntakeError::Unavailable("http://10.0.0.1".into()),
            IntakeError::TimedOut("http://10.0.0.1".into()),
            IntakeError::Other("http://10.0.0.1".into()),
        ] {
            let problem = Problem::from(error.clone());
            assert_eq!(problem.status(), error.http_status());
            let json = problem.to_json();
            assert!(!String::from_utf8_lossy(&json).contains("10.0.0.1"), "for the log only");
            let after = Problem::to_error(problem.status(), &json);
            assert_eq!(std::mem::discriminant(&after), std::mem::discriminant(&error));
            assert_eq!(after.for_client(), error.for_client());
        }
    }

    #[test]
    fn an_answer_that_is_no_problem_keeps_its_class() {
        let error = Problem::to_error(StatusCode::SERVICE_UNAVAILABLE, b"<html>");
        assert!(matches!(error, IntakeError::Unavailable(_)));
        let error = Problem::to_error(StatusCode::NOT_FOUND, b"");
        assert!(matches!(&error, IntakeError::Other(text) if text.contains("404")));
    }

    #[test]
    fn the_body_names_the_field() {
        let problem = Problem::from(Violation::new("precio", "must be a number"));
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(json["field"], "precio");
        assert_eq!(json["status"], 400);
    }
}
