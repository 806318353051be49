//! A hash that identifies a sale.

use twox_hash::xxhash3_128::Hasher;

/// A hash of a sale's idempotency key and body, in 16 bytes.
///
/// The hash function, XXH3, is fast but not cryptographic. To make another client's sale look like
/// a repetition, an attacker must know its key and its body, and could then send both again anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of a key and a body. The body of a record is its value.
    pub fn new(key: &[u8], body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(key.len() + 8 + body.len());
        // The length separates the key from the body.
        bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(body);
        Self(Hasher::oneshot(&bytes))
    }

    /// The fingerprint as big-endian bytes, as it is stored in Valkey.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
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
    fn is_the_same_in_every_build() {
        // Fingerprints are stored in Valkey, so another version must compute the same value.
        let bytes = Fingerprint::new(b"key", b"body").to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "9e72b6d8b603bac54d7f4763278aa49a");
    }
}
