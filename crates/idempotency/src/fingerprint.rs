//! A sale's identity.

use twox_hash::xxhash3_128::Hasher;

/// A sale with an idempotency key in 16 bytes: a hash of its key and its body.
///
/// The hash, XXH3, is fast and not cryptographic. Whoever wants another's sale taken for a
/// repetition must know its key and its body, and could then as well send both again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of this key with this body. Of a record the body is its value.
    pub fn of(key: &[u8], body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(key.len() + 8 + body.len());
        // The length tells where the key ends and the body begins.
        bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(body);
        Self(Hasher::oneshot(&bytes))
    }

    /// The 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_for_key_and_body() {
        let of = |key: &str, body: &str| Fingerprint::of(key.as_bytes(), body.as_bytes());
        assert_eq!(of("k", "body"), of("k", "body"));
        for other in [of("k", "bodx"), of("l", "body"), of("kb", "ody"), of("", "kbody")] {
            assert_ne!(of("k", "body"), other);
        }
    }

    #[test]
    fn is_the_same_in_every_build() {
        // It lies in Valkey, where another version must know it again.
        let bytes = Fingerprint::of(b"key", b"body").to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "9e72b6d8b603bac54d7f4763278aa49a");
    }
}
