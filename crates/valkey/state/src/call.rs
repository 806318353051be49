//! The keys and arguments of the script.

use valkey_command::{Command, Script, ScriptRef};

use crate::change::{Change, Content, Operation};
use crate::derived::Derived;
use crate::read::{Place, Read};
use crate::transaction::Transaction;
use crate::{ChangeError, Namespace, State};

static SCRIPT: Script = Script::new(include_str!("apply.lua"));

/// Room for the words of a call that do not depend on the changes, for those of an operation, and
/// for the bytes of a word.
const WORDS: usize = 64;
const WORDS_OF_OPERATION: usize = 4;
const BYTES_OF_WORD: usize = 16;

/// A call of the script that is being built.
pub(crate) struct Call(Command);

impl Call {
    /// The call that applies the changes of a function. Fails if a derived change is not possible.
    pub fn build(
        script: ScriptRef,
        transaction: &Transaction,
        state: &State,
    ) -> Result<Command, ChangeError> {
        let derived = state.derived()?;
        let words = WORDS + transaction.known.len() + WORDS_OF_OPERATION * state.cost.operations;
        let mut call =
            Self(Command::with_capacity(words, words * BYTES_OF_WORD + state.cost.bytes));
        for word in SCRIPT.call(script) {
            call.word(&word);
        }
        call.keys(transaction, state);
        call.position(transaction);
        call.fingerprints(transaction);
        call.integer(state.reads.values.len());
        for (read, value) in &state.reads.values {
            call.read(read, value.as_deref());
        }
        call.integer(state.changes.len());
        for change in state.changes.values() {
            call.change(change);
        }
        call.integer(derived.len());
        for (derived, indexes) in derived {
            call.derived(derived, indexes);
        }
        Ok(call.0)
    }

    fn keys(&mut self, transaction: &Transaction, state: &State) {
        let internal = transaction.source.internal_keys();
        let namespace: &Namespace = &transaction.source.namespace;
        let (changes, derived) = (state.changes.len(), state.derived.len());
        self.integer(internal.len() + changes + derived + state.reads.values.len());
        for key in internal {
            self.word(key.as_bytes());
        }
        let read = state.reads.values.iter().map(|(read, _)| &read.key);
        for key in state.changes.keys().chain(state.derived.keys()).chain(read) {
            self.word(&namespace.key(key));
        }
    }

    fn position(&mut self, transaction: &Transaction) {
        let Transaction { source, range, .. } = transaction;
        self.integer(source.partition);
        self.word(source.log_id.as_bytes());
        self.integer(range.start);
        self.integer(range.end);
        self.integer(u8::from(range.expected_position.is_none()));
    }

    fn fingerprints(&mut self, transaction: &Transaction) {
        let Transaction { limits, newest_ms, known, .. } = transaction;
        self.integer(limits.keys_max);
        self.integer(i64::from(limits.window_s) * 1_000);
        match newest_ms {
            Some(newest) => self.integer(*newest),
            None => self.word(b""),
        }
        self.integer(known.len());
        for (_, fingerprint) in known {
            self.word(&fingerprint.to_bytes());
        }
    }

    fn read(&mut self, read: &Read, value: Option<&[u8]>) {
        match &read.place {
            Place::Value => self.word(b"v"),
            Place::Field(field) => {
                self.word(b"h");
                self.word(field);
            }
            Place::Member(member) => {
                self.word(b"z");
                self.word(member);
            }
        }
        self.integer(u8::from(value.is_some()));
        self.word(value.unwrap_or_default());
    }

    fn change(&mut self, change: &Change) {
        self.integer(u8::from(change.replaces));
        match change.expires_at_ms {
            Some(time) => self.integer(time),
            None => self.word(b""),
        }
        match &change.content {
            Content::Unchanged => self.word(b"-"),
            Content::Value(operation) => {
                self.word(b"v");
                self.word(&[operation.code()]);
                self.word(&operation.operand());
            }
            Content::Hash(fields) => {
                self.word(b"h");
                self.integer(fields.len());
                self.word(&fields.values().map(Operation::code).collect::<Vec<u8>>());
                fields.keys().for_each(|field| self.word(field));
                fields.values().for_each(|operation| self.word(&operation.operand()));
            }
            Content::SortedSet(members) => {
                self.word(b"z");
                self.integer(members.len());
                members.keys().for_each(|member| self.word(member));
                members.values().for_each(|added| self.score(*added));
            }
            Content::Distinct(elements) => {
                self.word(b"p");
                self.integer(elements.len());
                elements.iter().for_each(|element| self.word(element));
            }
            Content::Stream(stream) => {
                self.word(b"x");
                self.integer(stream.length);
                self.integer(stream.entries.len());
                for entry in &stream.entries {
                    self.integer(entry.len());
                    entry.iter().for_each(|word| self.word(word));
                }
            }
        }
    }

    fn derived(&mut self, derived: &Derived, [first, second]: [usize; 2]) {
        match derived {
            Derived::Quotient { .. } => {
                self.word(b"q");
                self.integer(first);
            }
            Derived::DeleteUnlessEqual { field, .. } => {
                self.word(b"u");
                self.integer(first);
                self.word(field);
            }
        }
        self.integer(second);
    }

    /// Most scores are integers, which are formatted faster as such.
    fn score(&mut self, score: f64) {
        let integer = score as i64;
        if integer as f64 == score {
            self.integer(integer);
        } else {
            self.word(score.to_string().as_bytes());
        }
    }

    fn word(&mut self, word: &[u8]) {
        self.0.push(word);
    }

    fn integer(&mut self, number: impl itoa::Integer) {
        self.word(itoa::Buffer::new().format(number).as_bytes());
    }
}
