//! The claim of an idempotency key for one body.

use valkey_codec::{Script, ScriptRef, is_unknown_script};

use crate::{Fingerprint, RetentionLimits};

static SCRIPT: Script = Script::new(include_str!("claim.lua"));

/// A claim of a key. Send [`Claim::command`], and pass the reply to [`Claim::reply`].
#[derive(Debug)]
pub struct Claim<'a> {
    topic: &'a str,
    key: &'a str,
    fingerprint: Fingerprint,
    limits: RetentionLimits,
    script: ScriptRef,
}

/// The reply of Valkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The word that the script returned.
    Word(String),
    /// An error, including its code.
    Error(String),
}

/// The owner of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOwner {
    /// The key belongs to this body, by this claim or an earlier one.
    ThisSale,
    /// The key belongs to another body: the sale must not be written.
    AnotherSale,
}

impl<'a> Claim<'a> {
    /// A claim of `key` for a record of `topic` with this body.
    pub fn new(topic: &'a str, key: &'a str, body: &[u8], limits: RetentionLimits) -> Self {
        let fingerprint = Fingerprint::new(key.as_bytes(), body);
        Self { topic, key, fingerprint, limits, script: ScriptRef::Sha }
    }

    /// The command to send: one call of the script.
    pub fn command(&self) -> Vec<Vec<u8>> {
        let Self { topic, key, fingerprint, limits, script } = self;
        let mut command = Vec::with_capacity(10);
        command.extend(SCRIPT.call(*script));
        command.push(b"3".to_vec());
        for name in ["claims", "claims_before", "claims_since"] {
            command.push(format!("{name}:{topic}").into_bytes());
        }
        command.push(key.as_bytes().to_vec());
        command.push(fingerprint.to_bytes().to_vec());
        command.push(limits.keys_max.to_string().into_bytes());
        command.push(limits.window_s.to_string().into_bytes());
        command
    }

    /// Evaluates the reply. `Ok(None)` means that Valkey does not have the script: send
    /// [`Claim::command`], which now contains the source, again. `Err` contains any other error of
    /// Valkey; then it is not known who owns the key.
    pub fn reply(&mut self, reply: Reply) -> Result<Option<KeyOwner>, String> {
        match reply {
            Reply::Word(word) => match word.as_str() {
                "claimed" | "repeated" => Ok(Some(KeyOwner::ThisSale)),
                "taken" => Ok(Some(KeyOwner::AnotherSale)),
                _ => Err(format!("an unexpected reply: {word}")),
            },
            Reply::Error(text) if is_unknown_script(&text) && self.script == ScriptRef::Sha => {
                self.script = ScriptRef::Source;
                Ok(None)
            }
            Reply::Error(text) => Err(text),
        }
    }
}
