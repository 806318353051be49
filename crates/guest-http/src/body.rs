//! Bodies within a limit.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use intake::Problem;
use intake::request::{body_broken, body_too_large};

/// Reads a body to its announced length, else to its end, unless it is longer than
/// `bytes_max`.
pub async fn read_body<B>(body: B, bytes_max: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = pin!(body);
    // Asking the host for the end of what is there in full costs as much as reading it.
    let announced = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
    let mut whole = BytesMut::new();
    while announced != Some(whole.len()) {
        let Some(frame) = body.frame().await else {
            break;
        };
        let frame = frame.map_err(|e| body_broken(&e.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > bytes_max {
            return Err(body_too_large(bytes_max));
        }
        if whole.is_empty() && (announced == Some(data.len()) || body.is_end_stream()) {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
