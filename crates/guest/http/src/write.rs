//! Sends a body to the host.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use guest_tasks::within;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, HeaderError};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{FutureReader, StreamReader, StreamWriter};

use crate::body::{FullBody, to_fields};
use crate::reply::BodyStream;

/// How long a client may take to accept a piece of a body.
const PIECE_LIMIT: Duration = Duration::from_secs(5);

/// The most bytes that are copied at a time.
const COPY_BYTES_MAX: usize = 256 << 10;

/// The ends of the body that the host reads.
pub(crate) struct Outgoing {
    /// `None` for an empty body.
    pub contents: Option<StreamReader<u8>>,
    pub trailers: FutureReader<Result<Option<Fields>, ErrorCode>>,
}

/// Returns the ends that the host reads, and the future that writes to them. Data that the host
/// does not accept is dropped.
pub(crate) fn write(body: FullBody) -> Result<(Outgoing, impl Future<Output = ()>), HeaderError> {
    let trailers = (!body.trailers.is_empty()).then(|| to_fields(&body.trailers));
    let fields = trailers.transpose()?;
    let (writer, contents) = (!body.data.is_empty()).then(wit_stream::new).unzip();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let work = async move {
        if let Some(writer) = writer {
            write_data(writer, body.data).await;
        }
        drop(end.write(Ok(fields)).await);
    };
    Ok((Outgoing { contents, trailers }, work))
}

/// Writes data, of which only a piece is copied at a time if others use it, too.
async fn write_data(mut writer: StreamWriter<u8>, data: Bytes) {
    if data.is_unique() {
        writer.write_all(data.into()).await;
        return;
    }
    for piece in data.chunks(COPY_BYTES_MAX) {
        if !writer.write_all(piece.to_vec()).await.is_empty() {
            break;
        }
    }
}

/// The same for a body that is a stream. The future ends after the last piece, when the client has
/// disconnected, or when the client took too long to accept a piece.
pub(crate) fn write_stream(mut stream: BodyStream) -> (Outgoing, impl Future<Output = ()>) {
    let (mut writer, contents) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let work = async move {
        while let Some(piece) = stream.next().await {
            let taken = within(PIECE_LIMIT, writer.write_all(piece.into())).await;
            if taken.is_none_or(|left| !left.is_empty()) {
                break;
            }
        }
        drop(writer);
        drop(end.write(Ok(None)).await);
    };
    (Outgoing { contents: Some(contents), trailers }, work)
}

pub(crate) fn internal(error: impl std::fmt::Display) -> ErrorCode {
    ErrorCode::InternalError(Some(error.to_string()))
}
