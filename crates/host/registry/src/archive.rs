//! The archive of the files of components: one layer for all of them, because registries limit the
//! number of layers.

use std::collections::BTreeMap;
use std::io::{self, Read};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, EntryType, Header};

use crate::artifact::digest;

/// The unit of an archive.
const BLOCK_BYTES: u64 = 512;

/// Packs files. The archive depends only on their contents.
pub(crate) fn pack(files: &BTreeMap<String, Bytes>) -> io::Result<Bytes> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (digest, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        // The name has no meaning: a file is found by its digest.
        archive.append_data(&mut header, digest.replace(':', "-"), &**content)?;
    }
    Ok(archive.into_inner()?.finish()?.into())
}

/// The most bytes that a file of this length has in an unpacked archive.
pub(crate) fn unpacked_bytes(length: u64) -> u64 {
    // A header, and a content that fills blocks.
    length.saturating_add(2 * BLOCK_BYTES)
}

/// Unpacks the files of an archive, which must not have more than `bytes_max` bytes. The key is the
/// digest of the content.
pub(crate) fn unpack(archive: &[u8], bytes_max: u64) -> io::Result<BTreeMap<String, Bytes>> {
    let mut files = BTreeMap::new();
    // The archive itself is limited, so that also one with many empty files ends.
    let mut archive = Archive::new(GzDecoder::new(archive).take(bytes_max));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type() == EntryType::Regular {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.insert(digest(&content), content.into());
        }
    }
    if archive.into_inner().limit() == 0 {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_within_the_limit() {
        let contents: [&[u8]; 3] = [b"", b"one", &[7; 10_000]];
        let files = contents.map(|c| (digest(c), Bytes::from_static(c)));
        let files = BTreeMap::from(files);
        let archive = pack(&files).unwrap();
        assert_eq!(archive, pack(&files).unwrap());
        assert_eq!(unpack(&archive, 1 << 20).unwrap(), files);
        assert!(unpack(&archive, 5_000).is_err());
        assert!(unpack(b"no archive", 1 << 20).is_err());
    }
}
