//! A service that takes seconds for an answer. `POST /reports/YEAR` returns a report of four quarters, and
//! `POST /reports/YEAR?parts=N` one of N parts. If it is called as
//! a background task, it reports its progress, and stops when the client does not want the report any
//! more.

use std::time::Duration;

use guest_http::whole::types::{Request as Outgoing, ResponseLimits};
use guest_http::{Answer, Request, answer, problem, send_streamed, value};
use http::{HeaderMap, StatusCode, Uri};
use intake::Problem;
use intake::request::{method_not_allowed, unknown_path};
use serde_json::{Value, json};

guest_http::handler!(respond, guest_http::Headers::All);

/// The time that a part of the report takes.
const PART: Duration = Duration::from_millis(250);

/// The most parts.
const PARTS_MAX: u32 = 100;

/// The limits of the answer to a report of the progress.
const LIMITS: ResponseLimits = ResponseLimits { timeout_ms: 10_000, body_bytes_max: 4_096 };

async fn respond(request: Request) -> Answer {
    write_report(&request).await.unwrap_or_else(|reason| problem(&reason))
}

async fn write_report(request: &Request) -> Result<Answer, Problem> {
    let path = request.uri().path();
    let year = path.strip_prefix("/reports/").and_then(|year| year.parse::<u16>().ok());
    let year = year.ok_or_else(|| unknown_path(path))?;
    if request.method() != http::Method::POST {
        return Err(method_not_allowed(&["POST"]));
    }
    let parts = request.uri().query().and_then(|query| query.strip_prefix("parts="));
    let parts = parts.and_then(|parts| parts.parse().ok()).unwrap_or(4).clamp(1, PARTS_MAX);
    for part in 1..=parts {
        if !is_wanted(request.headers(), part, parts).await {
            let detail = format!("the report was stopped before part {part}");
            let kind = "urn:doorbuster:problem:cancelled";
            return Err(Problem::new(kind, StatusCode::CONFLICT, detail));
        }
        spin_sdk::time::sleep(PART).await;
    }
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let report = json!({
        "year": year,
        "parts": parts,
        "idempotency_key": text("idempotency-key"),
        "attempt": text("task-attempt"),
    });
    Ok(answer(StatusCode::OK, "application/json", report.to_string()))
}

/// Reports the progress, if the report is a task. Returns whether the client wants it.
async fn is_wanted(headers: &HeaderMap, part: u32, parts: u32) -> bool {
    let text = |name| headers.get(name)?.to_str().ok();
    let (Some(id), Some(token)) = (text("task-id"), text("task-token")) else { return true };
    let Ok(Ok(tasks)) = value("tasks_url").await.map(|url| url.parse::<Uri>()) else { return true };
    let body = json!({
        "progress": f64::from(part - 1) / f64::from(parts),
        "message": format!("part {part}"),
    });
    let report = Outgoing {
        method: "PUT".into(),
        path_with_query: format!("{}/{id}/progress", tasks.path()),
        scheme: tasks.scheme_str().map(Into::into),
        authority: tasks.authority().map(|authority| authority.as_str().into()),
        headers: format!("content-type: application/json\r\ntask-token: {token}\r\n").into_bytes(),
        body: body.to_string().into_bytes(),
        trailers: Vec::new(),
    };
    // The report is written, too, if its progress cannot be noted.
    let Ok(noted) = send_streamed(report, LIMITS).await else { return true };
    let noted: Value = serde_json::from_slice(&noted.body).unwrap_or_default();
    noted.get("cancel_requested").and_then(Value::as_bool) != Some(true)
}
