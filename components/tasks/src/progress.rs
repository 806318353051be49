//! Notes the progress that the service reports.

use background_tasks::{Progressed, TASK_TOKEN, TaskId, Transition};
use guest_http::{Answer, Request, answer, read_body};
use http::StatusCode;
use intake::Problem;
use sale::Violation;
use serde::Deserialize;

use crate::answers::{forbidden, no_store, uncached, wrong_state};
use crate::front::Front;

/// The most bytes of a report, and of its message.
const BODY_BYTES_MAX: usize = 4 << 10;
const MESSAGE_BYTES_MAX: usize = 1 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    /// The part that is done.
    progress: f64,
    /// What the service does.
    #[serde(default)]
    message: String,
}

/// Notes a report, and answers whether the client still wants the task.
pub async fn note(front: &Front, id: &TaskId, request: Request) -> Result<Answer, Problem> {
    let (head, body) = request.into_parts();
    let token = head.headers.get(TASK_TOKEN).and_then(|value| value.to_str().ok());
    let attempt = token.and_then(|token| front.keys.attempt(id, token));
    let attempt = attempt.ok_or_else(|| {
        forbidden(format!("the header `{TASK_TOKEN}` is missing or not that of the task"))
    })?;
    let body = read_body(&head, body, BODY_BYTES_MAX).await?;
    let report = serde_json::from_slice::<Report>(&body);
    let Report { progress: part, message } =
        report.map_err(|error| Problem::from(Violation::new("body", error.to_string())))?;
    if !(0.0..=1.0).contains(&part) {
        return Err(Violation::new("progress", "must be a number from 0 to 1").into());
    }
    if message.len() > MESSAGE_BYTES_MAX {
        let reason = format!("must be at most {MESSAGE_BYTES_MAX} bytes");
        return Err(Violation::new("message", reason).into());
    }
    let transition = Transition::Progress { attempt_id: &attempt, part, message: &message };
    let noted = front.store.change(&front.config.store, id, &transition).await;
    match noted.map_err(no_store)? {
        Progressed::Stale => Err(wrong_state("the attempt has ended".into())),
        Progressed::Noted { is_cancel_requested } => {
            let json = serde_json::json!({ "cancel_requested": is_cancel_requested });
            Ok(uncached(answer(StatusCode::OK, "application/json", json.to_string())))
        }
    }
}
