//! Calls of Lua scripts.

use std::sync::OnceLock;

use sha1::{Digest as _, Sha1};

/// A script. After Valkey has received its source once, it can be called by its SHA-1.
pub struct Script {
    source: &'static str,
    sha1: OnceLock<String>,
}

/// How a call refers to its script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptRef {
    /// By its SHA-1: Valkey executes it, or returns `NOSCRIPT` if it does not have the source.
    Sha,
    /// By its source, which Valkey then caches.
    Source,
}

impl Script {
    /// A script with this source.
    pub const fn new(source: &'static str) -> Self {
        Self { source, sha1: OnceLock::new() }
    }

    /// The first two words of a call. The number of keys, the keys and the arguments must follow.
    pub fn call(&self, script: ScriptRef) -> [Vec<u8>; 2] {
        match script {
            ScriptRef::Sha => [b"EVALSHA".to_vec(), self.sha1().as_bytes().to_vec()],
            ScriptRef::Source => [b"EVAL".to_vec(), self.source.as_bytes().to_vec()],
        }
    }

    /// The script's SHA-1 in hexadecimal.
    fn sha1(&self) -> &str {
        let digest = || Sha1::digest(self.source);
        self.sha1.get_or_init(|| digest().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Whether an error means that Valkey does not have the script's source.
pub fn is_unknown_script(error: &str) -> bool {
    error.starts_with("NOSCRIPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_contains_the_sha1_or_the_source() {
        static SCRIPT: Script = Script::new("return 1");
        let sha1 = b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db".to_vec();
        assert_eq!(SCRIPT.call(ScriptRef::Sha), [b"EVALSHA".to_vec(), sha1]);
        assert_eq!(SCRIPT.call(ScriptRef::Source), [b"EVAL".to_vec(), b"return 1".to_vec()]);
    }
}
