//! A hash that identifies a record which a client may send again.

use twox_hash::xxhash3_128::Hasher;

/// A key and a body up to this size are joined without an allocation.
const SMALL_BYTES: usize = 256;

/// A hash of an idempotency key and a body, in 16 bytes.
///
/// The hash function, XXH3, is fast but not cryptographic. To make the record of another client look
/// like a repetition, an attacker must know its key and its body, and could then send both again
/// anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of a key and a body. The body of a record is its value.
    pub fn new(key: &[u8], body: &[u8]) -> Self {
        // The length separates the key from the body.
        let length = (key.len() as u64).to_le_bytes();
        let parts = [&length, key, body];
        let mut small = [0; SMALL_BYTES];
        match join(&mut small, parts) {
            Some(bytes) => Self(Hasher::oneshot(bytes)),
            None => Self(Hasher::oneshot(&parts.concat())),
        }
    }

    /// The fingerprint as big-endian bytes, as it is stored in Valkey.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// Writes the parts one after the other. Returns what was written; None if there is not enough room.
fn join<'a>(buffer: &'a mut [u8], parts: [&[u8]; 3]) -> Option<&'a [u8]> {
    let mut length = 0;
    for part in parts {
        let end = length + part.len();
        buffer.get_mut(length..end)?.copy_from_slice(part);
        length = end;
    }
    buffer.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_the_key_and_the_body() {
        let of = |key: &str, body: &str| Fingerprint::new(key.as_bytes(), body.as_bytes());
        assert_eq!(of("k", "body"), of("k", "body"));
        for other in [of("k", "bodx"), of("l", "body"), of("kb", "ody"), of("", "kbody")] {
            assert_ne!(of("k", "body"), other);
        }
    }

    #[test]
    fn does_not_depend_on_how_the_parts_are_joined() {
        let length = 3_u64.to_le_bytes();
        for (body_bytes, fits) in [(SMALL_BYTES - 11, true), (SMALL_BYTES - 10, false)] {
            let body = vec![b'x'; body_bytes];
            let parts = [&length[..], b"key", &body];
            assert_eq!(join(&mut [0; SMALL_BYTES], parts).is_some(), fits);
            let hash = Fingerprint(Hasher::oneshot(&parts.concat()));
            assert_eq!(Fingerprint::new(b"key", &body), hash);
        }
    }

    #[test]
    fn is_the_same_in_every_build() {
        // Fingerprints are stored in Valkey, so another version must compute the same value.
        let bytes = Fingerprint::new(b"key", b"body").to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "9e72b6d8b603bac54d7f4763278aa49a");
    }
}
