//! The compression of record batches, in the variants that Kafka's clients can read.

use std::borrow::Cow;
use std::io::Write as _;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use crate::Compression;

/// The numbers of the codecs in the attributes of a batch.
const NONE: i16 = 0;
const SNAPPY: i16 = 2;
const LZ4: i16 = 3;

/// The records as they are written to the batch, and the number of the codec. If compression does
/// not make them smaller, they are returned uncompressed.
pub fn compress(records: &[u8], compression: Compression) -> (Cow<'_, [u8]>, i16) {
    let (compressed, number) = match compression {
        Compression::None => (None, NONE),
        Compression::Snappy => (snap::raw::Encoder::new().compress_vec(records).ok(), SNAPPY),
        Compression::Lz4 => (lz4(records), LZ4),
    };
    match compressed.filter(|compressed| compressed.len() < records.len()) {
        Some(compressed) => (compressed.into(), number),
        None => (records.into(), NONE),
    }
}

/// Uses independent blocks, because the Java client cannot read others.
fn lz4(records: &[u8]) -> Option<Vec<u8>> {
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(records.len() / 2));
    encoder.write_all(records).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn compressed_records_are_read_back() {
        let records = b"a record like the one before; ".repeat(5_000);
        let (compressed, number) = compress(&records, Compression::Lz4);
        let mut read = Vec::new();
        lz4_flex::frame::FrameDecoder::new(&*compressed).read_to_end(&mut read).unwrap();
        assert_eq!((number, read == records), (LZ4, true));
        let (compressed, number) = compress(&records, Compression::Snappy);
        let read = snap::raw::Decoder::new().decompress_vec(&compressed).unwrap();
        assert_eq!((number, read == records), (SNAPPY, true));
    }

    #[test]
    fn records_that_would_grow_are_not_compressed() {
        for compression in [Compression::None, Compression::Lz4, Compression::Snappy] {
            assert_eq!(compress(b"short", compression), (Cow::Borrowed(&b"short"[..]), NONE));
        }
    }
}
