//! Copies the content of records into buffers that many records share.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Size of a shared buffer.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;
/// What is larger gets its own allocation, so that little of a buffer's end stays unused.
const SHARED_BYTES_MAX: usize = 1024;
/// Number of header names that are kept.
const NAMES_MAX: usize = 8;
/// A header name that is longer is not kept.
const NAME_BYTES_MAX: usize = 64;

/// Copies keys, values and headers without an allocation for each of them. The memory of a buffer is
/// freed with the last record that has a part of it.
#[derive(Default)]
pub(crate) struct ContentBuffer {
    buffer: BytesMut,
    /// The last header names that were not repetitions. Most producers write the same few names
    /// with every record.
    names: Vec<Arc<str>>,
}

impl ContentBuffer {
    /// Copies a key or a value.
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        if bytes.len() > SHARED_BYTES_MAX {
            return Bytes::copy_from_slice(bytes);
        }
        if self.buffer.capacity() < bytes.len() {
            self.buffer = BytesMut::with_capacity(BUFFER_BYTES);
        }
        self.buffer.extend_from_slice(bytes);
        self.buffer.split().freeze()
    }

    /// Copies the name of a header.
    pub fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.iter().find(|known| &***known == name) {
            return known.clone();
        }
        let copy: Arc<str> = name.into();
        if name.len() <= NAME_BYTES_MAX {
            if self.names.len() >= NAMES_MAX {
                self.names.remove(0);
            }
            self.names.push(copy.clone());
        }
        copy
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn copies_are_equal_to_their_originals(
            parts in prop::collection::vec((any::<u8>(), 0..3 * SHARED_BYTES_MAX), 0..300),
        ) {
            let mut buffer = ContentBuffer::default();
            let originals: Vec<_> = parts.iter().map(|(byte, len)| vec![*byte; *len]).collect();
            let copies: Vec<_> = originals.iter().map(|bytes| buffer.copy(bytes)).collect();
            prop_assert_eq!(copies, originals);
        }

        #[test]
        fn names_are_equal_to_their_originals(names in prop::collection::vec("[a-c]{0,3}", 0..200)) {
            let mut buffer = ContentBuffer::default();
            for name in &names {
                prop_assert_eq!(&*buffer.name(name), name);
                prop_assert!(buffer.names.len() <= NAMES_MAX);
            }
        }
    }

    #[test]
    fn a_repeated_name_is_not_copied_again() {
        let mut buffer = ContentBuffer::default();
        let first = buffer.name("idempotency-key");
        assert!(Arc::ptr_eq(&first, &buffer.name("idempotency-key")));
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert!(!Arc::ptr_eq(&buffer.name(&long), &buffer.name(&long)));
    }

    #[test]
    fn small_parts_share_a_buffer() {
        let mut buffer = ContentBuffer::default();
        let (key, value) = (buffer.copy(b"key"), buffer.copy(b"value"));
        assert_eq!(value.as_ptr() as usize - key.as_ptr() as usize, key.len());
    }

    #[test]
    fn a_new_buffer_takes_memory_only_with_the_first_part() {
        let mut buffer = ContentBuffer::default();
        assert_eq!(buffer.buffer.capacity(), 0);
        let part = buffer.copy(b"key");
        assert_eq!(part.len() + buffer.buffer.capacity(), BUFFER_BYTES);
        buffer = ContentBuffer::default();
        assert_eq!(buffer.buffer.capacity(), 0);
        assert_eq!(part, "key");
    }
}
