//! Hands a body to the host.

use std::time::Duration;

use futures::StreamExt as _;
use guest_tasks::within;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{FutureReader, StreamReader};

use crate::reply::Pieces;
use crate::whole::{Whole, to_fields};

/// How long a client may take to take a piece of a body.
const PIECE_LIMIT: Duration = Duration::from_secs(5);

/// What the host reads of a body.
pub(crate) struct Outgoing {
    /// None for an empty one.
    pub contents: Option<StreamReader<u8>>,
    pub trailers: FutureReader<Result<Option<Fields>, ErrorCode>>,
}

/// The ends that the host reads, and the work of writing to them. What the host does not take,
/// it does not want.
pub(crate) fn write(body: Whole) -> Result<(Outgoing, impl Future<Output = ()>), ErrorCode> {
    let trailers = (!body.trailers.is_empty()).then(|| to_fields(&body.trailers));
    let fields = trailers.transpose().map_err(internal)?;
    let (writer, contents) = (!body.data.is_empty()).then(wit_stream::new).unzip();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let work = async move {
        if let Some(mut writer) = writer {
            writer.write_all(body.data.into()).await;
        }
        drop(end.write(Ok(fields)).await);
    };
    Ok((Outgoing { contents, trailers }, work))
}

/// The same for a body that comes in pieces. The work ends with the pieces, when the client has
/// gone, or when the client took too long to take one.
pub(crate) fn write_pieces(mut pieces: Pieces) -> (Outgoing, impl Future<Output = ()>) {
    let (mut writer, contents) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let work = async move {
        while let Some(piece) = pieces.next().await {
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
