//! Calls of Lua scripts.

use std::sync::OnceLock;

use sha1::{Digest as _, Sha1};

/// A script. After Valkey has received its source once, it can be called by its SHA-1.
pub struct Script {
    source: &'static str,
    name: OnceLock<String>,
}

/// How a script is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By its SHA-1: Valkey executes it, or returns `NOSCRIPT` if it does not have the source.
    Name,
    /// With its source, which Valkey caches.
    Source,
}

impl Script {
    /// A script with this source.
    pub const fn new(source: &'static str) -> Self {
        Self { source, name: OnceLock::new() }
    }

    /// The first two words of a call. The number of keys, the keys and the arguments must follow.
    pub fn call(&self, by: By) -> [Vec<u8>; 2] {
        match by {
            By::Name => [b"EVALSHA".to_vec(), self.name().as_bytes().to_vec()],
            By::Source => [b"EVAL".to_vec(), self.source.as_bytes().to_vec()],
        }
    }

    /// The script's SHA-1 in hexadecimal.
    fn name(&self) -> &str {
        let digest = || Sha1::digest(self.source);
        self.name.get_or_init(|| digest().iter().map(|byte| format!("{byte:02x}")).collect())
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
    fn is_called_by_the_name_that_valkey_gives_it() {
        static SCRIPT: Script = Script::new("return 1");
        let name = b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db".to_vec();
        assert_eq!(SCRIPT.call(By::Name), [b"EVALSHA".to_vec(), name]);
        assert_eq!(SCRIPT.call(By::Source), [b"EVAL".to_vec(), b"return 1".to_vec()]);
    }
}
