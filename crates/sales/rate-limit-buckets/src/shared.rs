//! Buckets in Valkey, which all instances share.

use component_settings::{SettingError, number, text};
use sha2::{Digest as _, Sha256};
use valkey_command::Script;

use crate::limit::{Grant, Limit};

/// Takes a token in one atomic step, by the clock of the server. A bucket is a key, which expires when
/// the bucket is full.
pub static TAKE: Script = Script::new(include_str!("take.lua"));

/// Maximum length of `rate_limit_valkey_prefix`.
const PREFIX_BYTES_MAX: usize = 256;

/// What happens to requests while Valkey cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutStore {
    /// Each instance limits its own requests.
    Local,
    /// They are refused.
    Refuse,
}

impl WithoutStore {
    /// Reads `rate_limit_without_store`.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        match text {
            "" | "local" => Ok(Self::Local),
            "refuse" => Ok(Self::Refuse),
            _ => Err(SettingError::new("rate_limit_without_store", "must be `local` or `refuse`")),
        }
    }
}

/// Reads `rate_limit_valkey_prefix`, with which the names of the keys begin.
pub fn prefix(value: &str) -> Result<&str, SettingError> {
    text("rate_limit_valkey_prefix", value, "rate-limit:", PREFIX_BYTES_MAX)
}

/// Reads `rate_limit_valkey_timeout_ms`, the most milliseconds for an answer of Valkey.
pub fn timeout_ms(value: &str) -> Result<u32, SettingError> {
    number("rate_limit_valkey_timeout_ms", value, Some(250), 1..=10_000)
}

/// The name of the key of a bucket. The value of a header may be a secret, so the name has only its
/// digest.
pub fn key_name(prefix: &str, key: &str) -> String {
    format!("{prefix}{:x}", Sha256::digest(key))
}

impl Limit {
    /// The arguments of [`TAKE`].
    pub fn arguments(&self) -> [String; 2] {
        [self.interval_us.to_string(), self.capacity_us().to_string()]
    }

    /// What a request gets, from the result of [`TAKE`]; `None` if that is not valid.
    pub fn shared_grant(&self, result: &[i64]) -> Option<Grant> {
        match result {
            [is_permitted @ (0 | 1), missing_us] => {
                let missing_us = u64::try_from(*missing_us).ok()?;
                Some(self.grant(*is_permitted == 1, missing_us))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn a_result_of_the_script_means_the_same_as_a_bucket_of_the_instance() {
        let limit = Limit::new(&Settings { average: "2", period_s: "1", burst: "3" }).unwrap();
        assert_eq!(limit.arguments(), ["500000", "1500000"]);
        let mut full_us = 0;
        for _ in 0..4 {
            let now_us = 1_000_000;
            let (grant, next_us) = limit.take(full_us, now_us);
            full_us = next_us;
            let missing_us = i64::try_from(next_us - now_us).unwrap();
            let result = [i64::from(grant.is_permitted), missing_us];
            assert_eq!(limit.shared_grant(&result), Some(grant));
        }
        for wrong in [&[][..], &[1], &[2, 0], &[1, -1], &[1, 0, 0]] {
            assert_eq!(limit.shared_grant(wrong), None);
        }
    }

    #[test]
    fn settings_are_checked() {
        assert_eq!(WithoutStore::parse(""), Ok(WithoutStore::Local));
        assert_eq!(WithoutStore::parse("refuse"), Ok(WithoutStore::Refuse));
        assert!(WithoutStore::parse("x").is_err());
        assert_eq!(prefix("").unwrap(), "rate-limit:");
        assert_eq!((timeout_ms("").unwrap(), timeout_ms("10000").unwrap()), (250, 10_000));
        assert!(timeout_ms("0").is_err() && timeout_ms("10001").is_err());
        let name = key_name("a:", "value secret");
        assert!(name.len() == 66 && name.starts_with("a:") && !name.contains("secret"), "{name}");
        assert!(prefix(&"x".repeat(PREFIX_BYTES_MAX + 1)).is_err());
    }
}
