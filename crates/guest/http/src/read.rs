//! Reads a body within a limit.

use spin_sdk::wasip3::http::types::{ErrorCode, Fields};
use spin_sdk::wit_bindgen::{FutureReader, StreamReader, StreamResult};

/// The most bytes of one read, if the length of the body is not announced.
pub(crate) const READ_BYTES: usize = 8 << 10;

/// Why a body could not be read.
pub(crate) enum ReadError {
    /// It is longer than the limit.
    TooLarge,
    /// It ended early.
    Broken(ErrorCode),
}

/// A body that is being received.
pub(crate) struct Incoming {
    pub contents: StreamReader<u8>,
    pub trailers: FutureReader<Result<Option<Fields>, ErrorCode>>,
    /// The `content-length`. Reading stops after this many bytes: one more read, only to see the
    /// end of the stream, costs as much as reading the body.
    pub announced: Option<u64>,
}

impl Incoming {
    /// Reads up to the announced length, or to the end if none is announced. A body longer than
    /// `bytes_max` is an error.
    pub async fn read(mut self, bytes_max: usize) -> Result<(Vec<u8>, Option<Fields>), ReadError> {
        if self.announced.is_some_and(|announced| announced > bytes_max as u64) {
            return Err(ReadError::TooLarge);
        }
        let announced = self.announced.and_then(|announced| usize::try_from(announced).ok());
        let mut data = Vec::with_capacity(announced.unwrap_or(READ_BYTES).min(bytes_max));
        while announced != Some(data.len()) {
            if data.len() == data.capacity() {
                data.reserve(READ_BYTES);
            }
            let (result, filled) = self.contents.read(data).await;
            data = filled;
            if data.len() > bytes_max {
                return Err(ReadError::TooLarge);
            }
            if !matches!(result, StreamResult::Complete(_)) {
                let trailers = self.trailers.await.map_err(ReadError::Broken)?;
                return Ok((data, trailers));
            }
        }
        Ok((data, None))
    }
}
