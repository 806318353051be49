//! The configuration.

use component_settings::{SettingError, list, number};
use http::HeaderName;
use secrecy::SecretString;

/// The names of the Spin variables, in the order of [`Config::new`].
pub const VARIABLES: [&str; 11] = [
    "cache_bytes",
    "cache_entries",
    "cache_entry_bytes",
    "cache_heuristic_percent",
    "cache_stale_while_revalidate_s",
    "cache_stale_if_error_s",
    "cache_key_headers",
    "cache_purge_token",
    "cache_valkey_url",
    "cache_valkey_prefix",
    "cache_valkey_timeout_ms",
];

/// Maximum number of names in `cache_key_headers`.
const NAMES_MAX: usize = 16;

/// The least and the most bytes of `cache_purge_token`.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=1_024;

/// The most bytes of `cache_valkey_prefix`.
const PREFIX_BYTES_MAX: usize = 256;

/// The most bytes of `cache_bytes`: an instance of 128 MiB has room for them, and for the responses
/// that it sends and receives.
const BYTES_MAX: u64 = 32 << 20;

/// The most bytes of `cache_entry_bytes`: an instance sends 64 responses at the same time.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// A day, in seconds.
const DAY_S: u64 = 86_400;

/// Which responses are stored, and for how long they are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// `cache_heuristic_percent`: the part of the time since its last modification for which a
    /// response without an explicit time is fresh.
    pub heuristic_percent: u64,
    /// `cache_stale_while_revalidate_s`, for responses without this directive.
    pub stale_while_revalidate_s: u64,
    /// `cache_stale_if_error_s`, for responses without this directive.
    pub stale_if_error_s: u64,
    /// `cache_key_headers`: request headers that select a response, in addition to `Vary`.
    pub key_headers: Vec<HeaderName>,
}

/// The configuration of a cache.
#[derive(Debug, Clone)]
pub struct Config {
    /// `cache_bytes`: the most bytes of all stored responses.
    pub bytes_max: usize,
    /// `cache_entries`: the most targets with stored responses.
    pub entries_max: usize,
    /// `cache_entry_bytes`: the most bytes of a stored response.
    pub entry_bytes_max: usize,
    /// Which responses are stored.
    pub rules: Rules,
    /// `cache_purge_token`: the secret with which stored responses are removed; nothing if it is
    /// empty.
    pub purge_token: SecretString,
    /// `cache_valkey_url`: the Valkey with the responses; none if it is empty.
    pub valkey_url: SecretString,
    /// `cache_valkey_prefix`: how the names of keys in Valkey begin.
    pub valkey_prefix: String,
    /// `cache_valkey_timeout_ms`: the most milliseconds for an answer of Valkey.
    pub valkey_timeout_ms: u32,
}

impl Config {
    /// Reads the values of [`VARIABLES`]. An empty value has the same meaning as a variable that is
    /// not declared.
    pub fn new(values: &[String; VARIABLES.len()]) -> Result<Self, SettingError> {
        let [
            bytes,
            entries,
            entry_bytes,
            heuristic,
            revalidate,
            error,
            names,
            token,
            url,
            prefix,
            timeout,
        ] = values;
        let [bytes_name, entries_name, entry_name, heuristic_name, ..] = VARIABLES;
        let [.., revalidate_name, error_name, names_name, token_name, _, prefix_name, timeout_name] =
            VARIABLES;
        let size = |variable, text, default, least, most| {
            let number = number(variable, text, Some(default), least..=most)?;
            Ok(usize::try_from(number).unwrap_or(usize::MAX))
        };
        let bytes_max = size(bytes_name, bytes, 16 << 20, 64 << 10, BYTES_MAX)?;
        let entry_most = ENTRY_BYTES_MAX.min(bytes_max) as u64;
        let rules = Rules {
            heuristic_percent: number(heuristic_name, heuristic, Some(0), 0..=100)?,
            stale_while_revalidate_s: number(revalidate_name, revalidate, Some(0), 0..=DAY_S)?,
            stale_if_error_s: number(error_name, error, Some(0), 0..=DAY_S)?,
            key_headers: key_headers(names_name, names)?,
        };
        if !token.is_empty() && !TOKEN_BYTES.contains(&token.len()) {
            let reason = "must be empty, or 16 to 1024 bytes long";
            return Err(SettingError::new(token_name, reason));
        }
        // Clients choose the host of a request, so applications with one prefix would get each other's
        // responses.
        if prefix.len() > PREFIX_BYTES_MAX || (prefix.is_empty() && !url.is_empty()) {
            let reason = format!(
                "must be 1 to {PREFIX_BYTES_MAX} bytes long with `cache_valkey_url`, and another one for \
                 each application"
            );
            return Err(SettingError::new(prefix_name, reason));
        }
        Ok(Self {
            bytes_max,
            entries_max: size(entries_name, entries, 1_000, 1, 100_000)?,
            entry_bytes_max: size(entry_name, entry_bytes, entry_most, 1_024, entry_most)?,
            rules,
            purge_token: token.as_str().into(),
            valkey_url: url.as_str().into(),
            valkey_prefix: prefix.clone(),
            valkey_timeout_ms: number(timeout_name, timeout, Some(250), 1..=10_000)?,
        })
    }
}

fn key_headers(variable: &'static str, text: &str) -> Result<Vec<HeaderName>, SettingError> {
    let names: Result<Vec<HeaderName>, _> = list(text).map(str::parse).collect();
    let names = names.ok().filter(|names| names.len() <= NAMES_MAX);
    names.ok_or_else(|| {
        let reason = format!("must be at most {NAMES_MAX} names of headers, separated by commas");
        SettingError::new(variable, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let config = |changes: &[(usize, &str)]| {
            let mut values: [String; VARIABLES.len()] = Default::default();
            for (index, value) in changes {
                values[*index] = (*value).into();
            }
            Config::new(&values).map_err(|error| error.to_string())
        };
        let default = config(&[]).unwrap();
        assert_eq!(default.bytes_max, 16 << 20);
        assert_eq!(default.rules, Rules::default());
        assert_eq!(config(&[(0, "65536")]).unwrap().entry_bytes_max, 65_536);
        let names = config(&[(6, "X-Tenant, x-user")]).unwrap().rules.key_headers;
        assert_eq!(names, ["x-tenant", "x-user"]);
        for (index, value) in [
            (0, "1"),
            (0, "99999999999"),
            (1, "0"),
            (0, "33554433"),
            (2, "1048577"),
            (8, "redis://valkey"),
            (3, "101"),
            (4, "1.5"),
            (5, "-1"),
            (6, "a:b"),
            (7, "short"),
            (10, "0"),
            (10, "10001"),
        ] {
            let error = config(&[(index, value)]).unwrap_err();
            assert!(error.contains(VARIABLES[index]), "{error}");
        }
        let shared = config(&[(7, "a secret of 24 bytes ..."), (8, "redis://u:p@v"), (9, "a:")]);
        let shown = format!("{:?}", shared.unwrap());
        assert!(!shown.contains("secret of") && !shown.contains("u:p"), "{shown}");
    }
}
