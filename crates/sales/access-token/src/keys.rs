//! The keys that verify tokens: a JSON Web Key Set (RFC 7517).

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;

/// Maximum length of a key set, in bytes.
pub const KEYS_BYTES_MAX: usize = 64 << 10;

/// Maximum number of keys.
const KEYS_MAX: usize = 32;

/// The length of the modulus of an RSA key: 2,048 to 4,096 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// The length of a key for Ed25519.
const ED25519_BYTES: usize = 32;

/// The least length of a shared secret, that of the hash.
const SECRET_BYTES_MIN: usize = 32;

/// The keys. Each is for exactly one algorithm, which follows from its type: so a token cannot
/// choose to have its signature verified in another way.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
pub(crate) struct Key {
    pub id: Option<String>,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

/// Why keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The text is not a key set.
    #[error("not a JSON Web Key Set: {0}")]
    Text(String),
    /// A key in the configuration cannot be used.
    #[error("key {index}: {reason}")]
    Key {
        /// Its position, from 0.
        index: usize,
        /// Why.
        reason: &'static str,
    },
    /// There is no key that can be used.
    #[error("it has no key for RS256, ES256, EdDSA or HS256")]
    None,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// The keys of the configuration. Each of them must be usable.
    pub fn configured(text: &str) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for (index, key) in parse(text.as_bytes())?.into_iter().enumerate() {
            keys.push(Key::new(key).map_err(|reason| KeysError::Key { index, reason })?);
        }
        Self::new(keys)
    }

    /// The keys that an issuer publishes. Those for other purposes are left out, and so are shared
    /// secrets, because what is published is not secret.
    pub fn published(text: &[u8]) -> Result<Self, KeysError> {
        let keys = parse(text)?.into_iter().filter_map(|key| Key::new(key).ok());
        Self::new(keys.filter(|key| key.algorithm != Algorithm::HS256).collect())
    }

    fn new(keys: Vec<Key>) -> Result<Self, KeysError> {
        if keys.is_empty() { Err(KeysError::None) } else { Ok(Self(keys)) }
    }

    /// The keys that may have signed a token with this algorithm and key id. A key or a token
    /// without an id fits any.
    pub(crate) fn fitting<'a>(
        &'a self,
        algorithm: Algorithm,
        id: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| {
            let same = match (key.id.as_deref(), id) {
                (Some(own), Some(id)) => own == id,
                _ => true,
            };
            key.algorithm == algorithm && same
        })
    }
}

fn parse(text: &[u8]) -> Result<Vec<Value>, KeysError> {
    if text.len() > KEYS_BYTES_MAX {
        return Err(KeysError::Text(format!("it is longer than {KEYS_BYTES_MAX} bytes")));
    }
    let set: Set = strict_json::from_slice(text).map_err(|e| {
        // The message of the error may contain a secret.
        KeysError::Text(format!("line {}, column {}", e.line(), e.column()))
    })?;
    if set.keys.len() > KEYS_MAX {
        return Err(KeysError::Text(format!("it has more than {KEYS_MAX} keys")));
    }
    Ok(set.keys)
}

impl Key {
    fn new(value: Value) -> Result<Self, &'static str> {
        let jwk: Jwk = serde_json::from_value(value).map_err(|_| "not a JSON Web Key")?;
        let common = &jwk.common;
        let is_for_signatures =
            common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature)
                && common
                    .key_operations
                    .as_ref()
                    .is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !is_for_signatures {
            return Err("its `use` or `key_ops` is not for the verification of signatures");
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| "its parameters are not valid")?;
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            AlgorithmParameters::OctetKey(_) => (Algorithm::HS256, KeyAlgorithm::HS256),
            _ => return Err("its type or curve is not supported"),
        };
        if common.key_algorithm.is_some_and(|own| own != named) {
            return Err("its `alg` is not supported");
        }
        check_length(&key)?;
        Ok(Self { id: jwk.common.key_id, algorithm, key })
    }
}

fn check_length(key: &DecodingKey) -> Result<(), &'static str> {
    match (key.family(), key.kind()) {
        (_, DecodingKeyKind::RsaModulusExponent { n, .. }) if !MODULUS_BYTES.contains(&n.len()) => {
            Err("an RSA key must have 2,048 to 4,096 bits")
        }
        (AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret))
            if secret.len() < SECRET_BYTES_MIN =>
        {
            Err("a shared secret must have at least 32 bytes")
        }
        (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(key)) if key.len() != ED25519_BYTES => {
            Err("an Ed25519 key must have 32 bytes")
        }
        _ => Ok(()),
    }
}
