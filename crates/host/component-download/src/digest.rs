//! Digests in the form of manifests.

use sha2::{Digest as _, Sha256};

/// `sha256:` and the digest in hexadecimal digits.
pub fn of(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}
