//! The dead letters, which the process whose metrics are read serves at the same port.

use std::net::IpAddr;

use http::{StatusCode, Uri};
use http_text::is_address_or_localhost;
use intake::Problem;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// The paths of the metrics and of the dead letters at the operator port.
const METRICS_PATH: &str = "/metrics";
const LETTERS_PATH: &str = "/dead-letters";

/// The URL of the dead letters, if the metrics are those of one process. Prometheus, whose metrics
/// have another path, has no dead letters.
pub fn letters_url(metrics_url: &str) -> Option<String> {
    let base = metrics_url.strip_suffix(METRICS_PATH)?;
    Some(format!("{base}{LETTERS_PATH}"))
}

/// Checks the authority of a request for letters, `host[:port]`. If the process with the letters has
/// a loopback address, the host must be an IP address or `localhost`: with a name that leads to that
/// address (DNS rebinding), a page of another site could read the letters.
pub fn check_authority(metrics_url: &str, authority: Option<&str>) -> Result<(), Problem> {
    if !is_loopback(metrics_url) || authority.is_some_and(is_address_or_localhost) {
        return Ok(());
    }
    let detail = "dead letters of a local process are served only if the host is an IP address or \
                  localhost";
    Err(Problem::new("urn:doorbuster:problem:forbidden", StatusCode::FORBIDDEN, detail)
        .with_field("Host"))
}

fn is_loopback(url: &str) -> bool {
    let url = Uri::try_from(url).ok();
    url.as_ref().and_then(Uri::host).is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
    })
}

/// Checks the body of a request to send letters back: an empty object.
pub fn check_replay_request(body: &[u8]) -> Result<(), Problem> {
    match serde_json::from_slice::<Map<String, Value>>(body) {
        Ok(object) if object.is_empty() => Ok(()),
        _ => Err(Problem::new(
            "urn:doorbuster:problem:invalid",
            StatusCode::BAD_REQUEST,
            "must be the JSON object {}",
        )
        .with_field("body")),
    }
}

/// The problem for the client if the dead letters are not available here.
pub fn no_letters() -> Problem {
    let detail = "dead letters are not available here: the process whose metrics the variable \
                  `metrics_url` names does not serve them";
    Problem::new("urn:doorbuster:problem:not-found", StatusCode::NOT_FOUND, detail)
}

/// Checks the answer of the process: JSON, or a problem, which is passed on to the client.
pub fn check_letters(status: StatusCode, body: &[u8]) -> Result<(), Problem> {
    if status == StatusCode::OK && serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        return Ok(());
    }
    let problem = serde_json::from_slice::<Problem>(body).ok();
    Err(match problem.filter(|problem| problem.status() == status) {
        // These texts are meant for clients.
        Some(problem) if status.is_client_error() || status.is_server_error() => problem,
        // Another server, or a version without dead letters.
        _ if status == StatusCode::NOT_FOUND => no_letters(),
        _ => Problem::new(
            "urn:doorbuster:problem:downstream",
            StatusCode::BAD_GATEWAY,
            "the dead letters cannot be read; the log of the component says why",
        ),
    })
}

/// The problem for the client if the process did not answer.
pub fn letters_unanswered() -> Problem {
    Problem::new(
        "urn:doorbuster:problem:unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "the process with the dead letters does not answer; a run may still be sending letters",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_has_dead_letters() {
        for (metrics, letters) in [
            ("http://127.0.0.1:3001/metrics", Some("http://127.0.0.1:3001/dead-letters")),
            ("http://prometheus/federate?match[]=up", None),
            ("http://prometheus/metrics?x", None),
            ("", None),
        ] {
            assert_eq!(letters_url(metrics).as_deref(), letters, "{metrics}");
        }
    }

    #[test]
    fn letters_of_a_local_process_are_only_for_local_pages() {
        for url in
            ["http://127.0.0.1:1/metrics", "http://localhost/metrics", "http://[::1]/metrics"]
        {
            for (authority, is_allowed) in [
                (Some("127.0.0.1:3000"), true),
                (Some("localhost:3000"), true),
                (Some("evil.example:3000"), false),
                (None, false),
            ] {
                assert_eq!(check_authority(url, authority).is_ok(), is_allowed, "{authority:?}");
            }
        }
        assert!(check_authority("http://shop:3001/metrics", Some("shop.example")).is_ok());
    }

    #[test]
    fn a_request_has_an_empty_object() {
        assert!(check_replay_request(b" {} ").is_ok());
        for body in [&b""[..], b"[]", b"null", b"{\"max\":1}", b"{} {}", b"\xff"] {
            assert_eq!(check_replay_request(body).unwrap_err().field.as_deref(), Some("body"));
        }
    }

    #[test]
    fn problems_of_the_process_are_passed_on_and_others_are_not_shown() {
        let problem = |status, body: &[u8]| check_letters(status, body).unwrap_err();
        let forbidden = Problem::new("urn:p", StatusCode::FORBIDDEN, "not enabled");
        let json = forbidden.to_json();
        assert_eq!(problem(StatusCode::FORBIDDEN, &json), forbidden);
        assert_eq!(problem(StatusCode::NOT_FOUND, b"<p>10.0.0.1"), no_letters());
        // The body belongs to another status; no problem; not JSON.
        for (status, body) in [(500, &json[..]), (500, b"10.0.0.1"), (302, b"{}"), (200, b"<p>")] {
            let other = problem(StatusCode::from_u16(status).unwrap(), body);
            assert_eq!((other.status, other.detail.contains("10.0.0.1")), (502, false));
        }
        assert_eq!(check_letters(StatusCode::OK, b"{}"), Ok(()));
    }
}
