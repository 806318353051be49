//! The keys and arguments of the script.

use valkey_command::{Command, Script, ScriptRef};

use crate::change::{Change, Content, Cost, Operation};
use crate::derived::Derived;
use crate::pack::Packed;
use crate::read::Place;
use crate::transaction::Transaction;
use crate::{ChangeError, Namespace, State};

static SCRIPT: Script = Script::new(include_str!("apply.lua"));

/// Room for the words of a call that do not depend on the changes, for the bytes of a word, and for
/// those of an operation in addition to its key and its value.
const WORDS: usize = 64;
const BYTES_OF_WORD: usize = 32;
const BYTES_OF_OPERATION: usize = 16;

/// Bytes of a fingerprint in a list.
const BYTES_OF_FINGERPRINT: usize = 18;

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
        let words = WORDS + state.changes.len() + state.derived.len() + state.reads.values.len();
        let changes = packed_changes(state);
        let bytes = words * BYTES_OF_WORD
            + transaction.known.len() * BYTES_OF_FINGERPRINT
            + changes.bytes().len();
        let mut call = Self(Command::with_capacity(words, bytes));
        for word in SCRIPT.call(script) {
            call.word(&word);
        }
        call.keys(transaction, state);
        call.position(transaction);
        call.retention(transaction);
        call.word(packed_fingerprints(transaction).bytes());
        call.word(packed_reads(state).bytes());
        call.word(changes.bytes());
        call.word(packed_derived(&derived).bytes());
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

    fn retention(&mut self, transaction: &Transaction) {
        let Transaction { limits, newest_ms, .. } = transaction;
        self.integer(limits.keys_max);
        self.integer(i64::from(limits.window_s) * 1_000);
        match newest_ms {
            Some(newest) => self.integer(*newest),
            None => self.word(b""),
        }
    }

    fn word(&mut self, word: &[u8]) {
        self.0.push(word);
    }

    fn integer(&mut self, number: impl itoa::Integer) {
        self.word(itoa::Buffer::new().format(number).as_bytes());
    }
}

fn packed_fingerprints(transaction: &Transaction) -> Packed {
    let known = &transaction.known;
    let mut packed = Packed::with_capacity(BYTES_OF_WORD + known.len() * BYTES_OF_FINGERPRINT);
    packed.list_of(known.iter(), |packed, (_, fingerprint)| packed.text(&fingerprint.to_bytes()));
    packed
}

fn packed_reads(state: &State) -> Packed {
    let mut packed = Packed::default();
    packed.list_of(state.reads.values.iter(), |packed, (read, value)| {
        let (kind, place): (&[u8], &[u8]) = match &read.place {
            Place::Value => (b"v", b""),
            Place::Field(field) => (b"h", field),
            Place::Member(member) => (b"z", member),
        };
        packed.list(4);
        packed.text(kind);
        packed.flag(value.is_some());
        packed.text(value.as_deref().unwrap_or_default());
        packed.text(place);
    });
    packed
}

fn packed_changes(state: &State) -> Packed {
    let Cost { operations, bytes } = state.cost;
    let mut packed = Packed::with_capacity(bytes + operations * BYTES_OF_OPERATION);
    packed.list_of(state.changes.values(), pack_change);
    packed
}

fn pack_change(packed: &mut Packed, change: &Change) {
    let (kind, length): (&[u8], usize) = match &change.content {
        Content::Unchanged => (b"-", 0),
        Content::Value(_) => (b"v", 2),
        Content::Hash(_) => (b"h", 3),
        Content::SortedSet(_) => (b"z", 2),
        Content::Distinct(_) => (b"p", 1),
        Content::Stream(_) => (b"x", 2),
    };
    packed.list(3 + length);
    packed.flag(change.replaces);
    match change.expires_at_ms {
        Some(time) => packed.digits(time),
        None => packed.text(b""),
    }
    packed.text(kind);
    let text = |packed: &mut Packed, text: &Vec<u8>| packed.text(text);
    match &change.content {
        Content::Unchanged => {}
        Content::Value(operation) => {
            packed.text(&[operation.code()]);
            packed.text(&operation.operand());
        }
        Content::Hash(fields) => {
            packed.text(&fields.values().map(Operation::code).collect::<Vec<u8>>());
            packed.list_of(fields.keys(), text);
            packed.list_of(fields.values(), |packed, o| packed.text(&o.operand()));
        }
        Content::SortedSet(members) => {
            packed.list_of(members.keys(), text);
            packed.list_of(members.values(), |packed, added| packed.number(*added));
        }
        Content::Distinct(elements) => packed.list_of(elements.iter(), text),
        Content::Stream(stream) => {
            packed.digits(stream.length);
            packed.list_of(stream.entries.iter(), |packed, entry| {
                packed.list_of(entry.iter(), text);
            });
        }
    }
}

fn packed_derived(derived: &[(&Derived, [usize; 2])]) -> Packed {
    let mut packed = Packed::default();
    packed.list_of(derived.iter(), |packed, (derived, indexes)| {
        let (kind, field): (&[u8], &[u8]) = match derived {
            Derived::Quotient { .. } => (b"q", b""),
            Derived::DeleteUnlessEqual { field, .. } => (b"u", field),
        };
        packed.list(4);
        packed.text(kind);
        indexes.iter().for_each(|index| packed.number(*index as f64));
        packed.text(field);
    });
    packed
}
