//! The ids of tasks, and the secrets with which their progress is reported. Both are derived from one
//! secret, so nothing must be stored for them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// The bytes of an id: it cannot be guessed.
const ID_BYTES: usize = 16;

/// The characters of an id.
const ID_LENGTH: usize = ID_BYTES.div_ceil(3) * 4 - 2;

/// The id of a task: 22 characters of base64url.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskId(String);

impl TaskId {
    /// The id that a path or a record contains; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (text.len() == ID_LENGTH && text.bytes().all(is_valid)).then(|| Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies an attempt: random, so that no two attempts of a task are confused, even if its state was
/// lost between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptId(String);

impl AttemptId {
    /// The attempt with these random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random))
    }

    /// The identification as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What makes a request different from others of the same subject.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// Its `Idempotency-Key`: the same key is the same task.
    Key(&'a str),
    /// Random bytes: every request is a task of its own.
    Random([u8; 16]),
}

/// Derives ids and tokens from the secret.
pub struct Keys(Hmac<Sha256>);

impl Keys {
    /// Keys that belong to this secret.
    pub fn new(secret: &SecretString) -> Self {
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        let digest = Sha256::digest(secret.expose_secret());
        key.iter_mut().zip(digest).for_each(|(own, byte)| *own = byte);
        Self(Hmac::new(&key))
    }

    /// The id of the task for a request of this subject.
    pub fn id(&self, subject: &str, origin: Origin<'_>) -> TaskId {
        let (kind, origin): (&[u8], &[u8]) = match &origin {
            Origin::Key(key) => (b"key", key.as_bytes()),
            Origin::Random(bytes) => (b"random", bytes),
        };
        let mac = self.mac(&[b"id", kind, subject.as_bytes(), origin]).finalize().into_bytes();
        TaskId(URL_SAFE_NO_PAD.encode(mac.get(..ID_BYTES).unwrap_or_default()))
    }

    /// The secret with which the progress of an attempt is reported. It contains what identifies the
    /// attempt, so that a late attempt cannot report for the next one.
    pub fn token(&self, id: &TaskId, attempt: &AttemptId) -> String {
        let mac = self.progress(id, attempt).finalize().into_bytes();
        format!("{attempt}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// The attempt that this token belongs to; `None` if it is not one of the task.
    pub fn attempt(&self, id: &TaskId, token: &str) -> Option<AttemptId> {
        let (attempt, mac) = token.split_once('.')?;
        let attempt = AttemptId(attempt.into());
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        self.progress(id, &attempt).verify_slice(&mac).ok().map(|()| attempt)
    }

    fn progress(&self, id: &TaskId, attempt: &AttemptId) -> Hmac<Sha256> {
        self.mac(&[b"progress", id.0.as_bytes(), attempt.0.as_bytes()])
    }

    /// The parts have their lengths before them, so that no two lists of parts are alike.
    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str) -> Keys {
        Keys::new(&SecretString::from(secret))
    }

    #[test]
    fn a_key_is_one_task_for_each_subject() {
        let keys_a = keys("a");
        let id = keys_a.id("ada", Origin::Key("k"));
        assert_eq!(id, keys_a.id("ada", Origin::Key("k")));
        assert_eq!(TaskId::parse(id.as_str()), Some(id.clone()));
        for other in [
            keys_a.id("bob", Origin::Key("k")),
            keys_a.id("adak", Origin::Key("")),
            keys_a.id("ada", Origin::Key("l")),
            keys_a.id("ada", Origin::Random(*b"kkkkkkkkkkkkkkkk")),
            keys("b").id("ada", Origin::Key("k")),
        ] {
            assert_ne!(id, other);
        }
        for wrong in ["", "short", "with/slash/and/22/chars", "äääääääääää"] {
            assert_eq!(TaskId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_is_for_one_attempt_of_one_task() {
        let keys_a = keys("a");
        let (id, other) = (keys_a.id("", Origin::Key("1")), keys_a.id("", Origin::Key("2")));
        let attempt = AttemptId::new([3; 16]);
        let token = keys_a.token(&id, &attempt);
        assert_eq!(keys_a.attempt(&id, &token), Some(attempt));
        assert_eq!(keys_a.attempt(&other, &token), None);
        assert_eq!(keys("b").attempt(&id, &token), None);
        let (_, mac) = token.split_once('.').unwrap();
        for wrong in
            [format!("4.{mac}"), format!(".{mac}"), "3".into(), String::new(), "x.y".into()]
        {
            assert_eq!(keys_a.attempt(&id, &wrong), None, "{wrong}");
        }
    }
}
