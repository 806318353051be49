//! Signatures of webhooks: HMAC-SHA256.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, StatusCode};
use intake::Problem;
use sha2::Sha256;

use crate::ConfigError;
use crate::config::{
    BodySignature, Encoding, SignatureConfig, TimedSignature, TimestampedSignature,
};

/// Minimum length of a secret, in bytes.
const SECRET_BYTES_MIN: usize = 16;

/// Maximum number of signatures of a request that are compared.
const SIGNATURES_MAX: usize = 8;

/// The prefix of a secret of Standard Webhooks.
const SECRET_PREFIX: &str = "whsec_";

/// The headers of Standard Webhooks.
const WEBHOOK_ID: &str = "webhook-id";
const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
const WEBHOOK_SIGNATURE: &str = "webhook-signature";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How the requests of a route are signed, with the secrets.
pub struct Signature {
    scheme: SignatureConfig,
    keys: Vec<Hmac<Sha256>>,
}

impl Signature {
    /// Takes the secrets from the Spin variables that the configuration names.
    pub fn new(
        scheme: SignatureConfig,
        secrets: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let key = |name: &String| {
            let fault = |reason: &str| {
                ConfigError::new("signature.secrets", format!("Spin variable `{name}`: {reason}"))
            };
            let secret = secrets
                .get(name)
                .ok_or_else(|| fault("the component requires it, but it is not declared"))?;
            let bytes = match &scheme {
                SignatureConfig::StandardWebhooks(_) => {
                    let text = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
                    BASE64.decode(text).map_err(|_| fault("must be base64"))?
                }
                _ => secret.as_bytes().to_vec(),
            };
            if bytes.len() < SECRET_BYTES_MIN {
                return Err(fault(&format!("must have at least {SECRET_BYTES_MIN} bytes")));
            }
            Hmac::new_from_slice(&bytes).map_err(|_| fault("is not a key"))
        };
        let keys = scheme.secrets().iter().map(key).collect::<Result<_, _>>()?;
        Ok(Self { scheme, keys })
    }

    /// Checks the signature of a request. `now_s` is the time in seconds since 1970.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now_s: u64) -> Result<(), Problem> {
        match &self.scheme {
            SignatureConfig::Body(body_signature) => {
                self.verify_body(body_signature, headers, body)
            }
            SignatureConfig::StandardWebhooks(timed) => {
                self.verify_standard(timed, headers, body, now_s)
            }
            SignatureConfig::Timestamped(timed) => {
                self.verify_timestamped(timed, headers, body, now_s)
            }
        }
    }

    fn verify_body(
        &self,
        scheme: &BodySignature,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), Problem> {
        let text = single(headers, &scheme.header)?;
        let tag = text.strip_prefix(&scheme.prefix).and_then(|text| match scheme.encoding {
            Encoding::Hex => from_hex(text),
            Encoding::Base64 => BASE64.decode(text).ok(),
        });
        self.require_match(&scheme.header, &[body], tag.as_slice())
    }

    fn verify_standard(
        &self,
        scheme: &TimedSignature,
        headers: &HeaderMap,
        body: &[u8],
        now_s: u64,
    ) -> Result<(), Problem> {
        let id = single(headers, WEBHOOK_ID)?;
        let time = single(headers, WEBHOOK_TIMESTAMP)?;
        let signatures = single(headers, WEBHOOK_SIGNATURE)?;
        check_time(WEBHOOK_TIMESTAMP, time, scheme.tolerance_s, now_s)?;
        let tags: Vec<Vec<u8>> = signatures
            .split(' ')
            .filter_map(|signature| BASE64.decode(signature.strip_prefix("v1,")?).ok())
            .take(SIGNATURES_MAX)
            .collect();
        let parts = [id.as_bytes(), b".", time.as_bytes(), b".", body];
        self.require_match(WEBHOOK_SIGNATURE, &parts, &tags)
    }

    fn verify_timestamped(
        &self,
        scheme: &TimestampedSignature,
        headers: &HeaderMap,
        body: &[u8],
        now_s: u64,
    ) -> Result<(), Problem> {
        let name = &scheme.header;
        let items = || single(headers, name).map(|text| text.split(',').map(str::trim));
        let time = items()?.find_map(|item| item.strip_prefix("t=")).unwrap_or("");
        check_time(name, time, scheme.tolerance_s, now_s)?;
        let tags: Vec<Vec<u8>> = items()?
            .filter_map(|item| from_hex(item.strip_prefix("v1=")?))
            .take(SIGNATURES_MAX)
            .collect();
        self.require_match(name, &[time.as_bytes(), b".", body], &tags)
    }

    /// Compares in constant time. The signed content is the concatenation of `parts`.
    fn require_match(
        &self,
        header: &str,
        parts: &[&[u8]],
        tags: &[Vec<u8>],
    ) -> Result<(), Problem> {
        let matches = self.keys.iter().any(|key| {
            let mut mac = key.clone();
            parts.iter().for_each(|part| mac.update(part));
            tags.iter().any(|tag| mac.clone().verify_slice(tag).is_ok())
        });
        if matches { Ok(()) } else { Err(refusal(header, "is not the signature of this request")) }
    }
}

/// The problem for a request that is not signed, or not correctly (401).
fn refusal(header: &str, reason: impl Into<String>) -> Problem {
    Problem::new("urn:doorbuster:problem:signature", StatusCode::UNAUTHORIZED, reason)
        .with_field(header.to_owned())
}

/// The value of a header that must occur once.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(text)), None) => Ok(text),
        _ => Err(refusal(name, "must occur once, as visible ASCII")),
    }
}

/// Accepts a time that differs from the clock by at most `tolerance_s`.
fn check_time(header: &str, text: &str, tolerance_s: u32, now_s: u64) -> Result<(), Problem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>().ok().filter(|_| digits) {
        Some(time_s) if time_s.abs_diff(now_s) <= tolerance_s.into() => Ok(()),
        Some(_) => {
            let reason = format!("the time of the signature differs by more than {tolerance_s} s");
            Err(refusal(header, reason))
        }
        None => Err(refusal(header, "has no time in seconds")),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let byte = |pair: &[u8; 2]| {
        let [high, low] = pair;
        u8::try_from(digit(high)? << 4 | digit(low)?).ok()
    };
    let (pairs, rest) = text.as_bytes().as_chunks();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW_S: u64 = 1_700_000_000;

    fn signature(scheme: Value, secret: &str) -> Result<Signature, ConfigError> {
        let secrets = BTreeMap::from([("s".to_owned(), secret.to_owned())]);
        Signature::new(serde_json::from_value(scheme).unwrap(), &secrets)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    /// The example in the documentation of GitHub.
    #[test]
    fn a_signature_over_the_body() {
        let scheme = json!({"body": {
            "header": "X-Hub-Signature-256", "prefix": "sha256=", "secrets": ["s"]
        }});
        let github = signature(scheme, "It's a Secret to Everybody").unwrap();
        let tag = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let verify = |value: &str, body: &[u8]| {
            github.verify(&headers(&[("x-hub-signature-256", value)]), body, NOW_S)
        };
        assert_eq!(verify(&format!("sha256={tag}"), b"Hello, World!"), Ok(()));
        let wrong = [
            (format!("sha256={tag}"), &b"Hello, World?"[..]),
            (tag.to_owned(), b"Hello, World!"),
            (format!("sha256={}", &tag[2..]), b"Hello, World!"),
            (format!("sha256={tag}0"), b"Hello, World!"),
            ("sha256=".to_owned(), b"Hello, World!"),
        ];
        for (value, body) in wrong {
            let problem = verify(&value, body).unwrap_err();
            assert_eq!(
                (problem.status, problem.field.as_deref()),
                (401, Some("X-Hub-Signature-256"))
            );
        }
        assert_eq!(
            github.verify(&HeaderMap::new(), b"Hello, World!", NOW_S).unwrap_err().status,
            401
        );
    }

    /// The example in the specification of Standard Webhooks.
    #[test]
    fn standard_webhooks() {
        let scheme = json!({"standard_webhooks": {"secrets": ["s"]}});
        let standard = signature(scheme, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (time, tag) = ("1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let body = br#"{"test": 2432232314}"#;
        let verify = |time: &str, tags: &str, now_s| {
            let id = ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek");
            let headers = headers(&[id, ("webhook-timestamp", time), ("webhook-signature", tags)]);
            standard.verify(&headers, body, now_s).map_err(|problem| problem.status)
        };
        let then_s = 1_614_265_330;
        assert_eq!(verify(time, tag, then_s), Ok(()));
        assert_eq!(verify(time, &format!("v1a,AAAA v1,AAAA {tag}"), then_s + 300), Ok(()));
        assert_eq!(verify(time, tag, then_s - 300), Ok(()));
        for now_s in [then_s + 301, then_s - 301] {
            assert_eq!(verify(time, tag, now_s), Err(401));
        }
        assert_eq!(verify("1614265331", tag, then_s), Err(401), "the time is signed");
        assert_eq!(verify("+1614265330", tag, then_s), Err(401));
        assert_eq!(verify(time, &tag.replace("v1,", "v2,"), then_s), Err(401));
        let many = format!("{}{tag}", "v1,AAAA ".repeat(SIGNATURES_MAX));
        assert_eq!(verify(time, &many, then_s), Err(401), "more signatures than are compared");
    }

    #[test]
    fn a_time_and_signatures_in_one_header() {
        let scheme = json!({"timestamped": {
            "header": "Stripe-Signature", "secrets": ["s"], "tolerance_s": 10
        }});
        let stripe = signature(scheme, "whsec_0123456789abcdef").unwrap();
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac whsec_0123456789abcdef
        let tag = "d0c329a0542d1a8e66b0b5503cf2d2f8f8e174c98224b843c11f74ea14c341e9";
        let verify = |value: &str, now_s| {
            let headers = headers(&[("stripe-signature", value)]);
            stripe.verify(&headers, b"{}", now_s).map_err(|problem| problem.status)
        };
        let good = format!("t={NOW_S},v0=00,v1={},v1={tag}", "0".repeat(64));
        assert_eq!(verify(&good, NOW_S), Ok(()));
        assert_eq!(verify(&good, NOW_S + 11), Err(401));
        for wrong in ["", "t=,v1=", &format!("v1={tag}"), &format!("t={NOW_S},v0={tag}")] {
            assert_eq!(verify(wrong, NOW_S), Err(401), "{wrong}");
        }
    }

    #[test]
    fn secrets_that_are_missing_or_too_short() {
        let body = json!({"body": {"header": "x", "secrets": ["s"]}});
        let standard = json!({"standard_webhooks": {"secrets": ["s"]}});
        for (scheme, secret) in
            [(&body, "short"), (&body, ""), (&standard, "whsec_c2hvcnQ="), (&standard, "whsec_§")]
        {
            let error = signature(scheme.clone(), secret).err().unwrap().to_string();
            assert!(error.contains("Spin variable `s`"), "{error}");
            assert!(secret.is_empty() || !error.contains(secret), "{error}");
        }
        let scheme = serde_json::from_value(body).unwrap();
        assert!(Signature::new(scheme, &BTreeMap::new()).is_err());
    }

    #[test]
    fn any_of_several_secrets() {
        let scheme = json!({"body": {
            "header": "x", "encoding": "base64", "secrets": ["new", "old"]
        }});
        let secrets = [("old", "b".repeat(16)), ("new", "a".repeat(16))];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value)).into();
        let both = Signature::new(serde_json::from_value(scheme).unwrap(), &secrets).unwrap();
        for secret in secrets.values() {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
            mac.update(b"body");
            let tag = BASE64.encode(mac.finalize().into_bytes());
            for tag in [tag.as_str(), tag.trim_end_matches('=')] {
                assert_eq!(both.verify(&headers(&[("x", tag)]), b"body", NOW_S), Ok(()));
            }
        }
    }
}
