//! Limits how much memory the decoder takes for a message. The first field of a message takes some
//! hundred bytes, and each item of a list some dozen, while they may be encoded in two bytes and in
//! one.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{Kind, MessageDescriptor};

use super::output::DEPTH_MAX;

/// How many items a value may have. Fields and items of lists are items.
const ITEMS_MAX: usize = 1_000_000;
/// As how many items a message counts.
const ITEMS_OF_MESSAGE: usize = 10;
/// Up to this size, the items of a message are not counted, because there cannot be too many.
const UNCOUNTED_BYTES: usize = 16 * 1024;

/// How many more items a value may have.
pub(super) struct Items(usize);

impl Items {
    pub fn new() -> Self {
        Self(ITEMS_MAX)
    }

    /// Counts the items of an encoded message. Fails if there are too many, or if it is invalid. A
    /// message in `google.protobuf.Any` must be counted separately, as it is decoded.
    pub fn count(&mut self, message: &MessageDescriptor, encoded: &[u8]) -> Result<(), String> {
        if encoded.len() <= UNCOUNTED_BYTES {
            return Ok(());
        }
        self.message(Some(message), &mut { encoded }, None, DEPTH_MAX)
    }

    /// Counts the items of a message, or of a group with this number. `levels` is the number of
    /// levels that may follow.
    fn message(
        &mut self,
        message: Option<&MessageDescriptor>,
        input: &mut &[u8],
        group: Option<u32>,
        levels: usize,
    ) -> Result<(), String> {
        let levels = levels.checked_sub(1).ok_or("the value is nested too deep")?;
        self.add(ITEMS_OF_MESSAGE)?;
        while !input.is_empty() {
            let (number, wire_type) = decode_key(input).map_err(|error| error.to_string())?;
            self.add(1)?;
            let kind = message.and_then(|message| kind(message, number));
            match (wire_type, kind) {
                (WireType::EndGroup, _) if group == Some(number) => return Ok(()),
                (WireType::StartGroup, kind) => {
                    let message = kind.as_ref().and_then(Kind::as_message);
                    self.message(message, input, Some(number), levels)?;
                }
                (WireType::LengthDelimited, Some(Kind::Message(message))) => {
                    self.message(Some(&message), &mut split(input)?, None, levels)?;
                }
                (WireType::LengthDelimited, Some(kind))
                    if !matches!(kind, Kind::String | Kind::Bytes) =>
                {
                    self.add(packed(&kind, split(input)?))?;
                }
                _ => {
                    let skipped = skip_field(wire_type, number, input, DecodeContext::default());
                    skipped.map_err(|error| error.to_string())?;
                }
            }
        }
        if group.is_some() { Err("a group has no end".into()) } else { Ok(()) }
    }

    fn add(&mut self, items: usize) -> Result<(), String> {
        let left = self.0.checked_sub(items);
        self.0 = left.ok_or_else(|| format!("the value has more than {ITEMS_MAX} items"))?;
        Ok(())
    }
}

/// The type of a field or of an extension; `None` if the schema has none with this number.
fn kind(message: &MessageDescriptor, number: u32) -> Option<Kind> {
    let field = message.get_field(number).map(|field| field.kind());
    field.or_else(|| message.get_extension(number).map(|extension| extension.kind()))
}

/// Splits off what follows its length.
fn split<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = decode_varint(input).map_err(|error| error.to_string())?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    input.split_off(..length).ok_or_else(|| "buffer underflow".into())
}

/// How many numbers of this type there are.
fn packed(kind: &Kind, encoded: &[u8]) -> usize {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => encoded.len() / 8,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => encoded.len() / 4,
        // All bytes of a number except the last one have the highest bit.
        _ => encoded.iter().filter(|byte| **byte < 0x80).count(),
    }
}

#[cfg(test)]
mod tests {
    use protox::Compiler;
    use protox::file::{File, FileResolver};

    use super::*;

    /// The file of the message type.
    struct Only(&'static str);

    impl FileResolver for Only {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            File::from_source(name, self.0)
        }
    }

    #[test]
    fn what_the_decoder_creates_is_counted() {
        let only = Only(
            r#"syntax = "proto2"; message A { repeated A a = 1; repeated bool b = 2 [packed = true];
                repeated double d = 3; repeated fixed32 f = 4; optional string s = 5;
                repeated group G = 6 { optional bool b = 1; } map<string, A> m = 7;
                extensions 100 to 199; }
               extend A { repeated int32 e = 100; }"#,
        );
        let mut compiler = Compiler::with_file_resolver(only);
        compiler.open_file("a.proto").unwrap();
        let message = compiler.descriptor_pool().get_message_by_name("A").unwrap();
        for (encoded, expected) in [
            (&b""[..], Ok(0)),
            (b"\x0a\0\x0a\x02\x0a\0", Ok(33)),
            (b"\x12\x04\x01\x80\x01\0", Ok(4)),
            (b"\x10\x01\x10\0", Ok(2)),
            (b"\x1a\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", Ok(3)),
            (b"\x22\x08\0\0\0\0\0\0\0\0", Ok(3)),
            (b"\x2a\x02\x0a\0", Ok(1)),
            (b"\x33\x08\x01\x34", Ok(13)),
            (b"\x3a\x05\x0a\x01x\x12\0", Ok(23)),
            (b"\xa2\x06\x02\x01\x02", Ok(3)),
            // Fields that the schema does not have.
            (b"\x7b\x08\x01\x7c\x72\x02\x0a\0", Ok(14)),
            (&b"\x0a\0".repeat(200), Err("more than")),
            (b"\x0a\x01", Err("underflow")),
            (b"\x33\x08\x01", Err("no end")),
            (b"\x34", Err("group")),
            (&b"\x33".repeat(DEPTH_MAX), Err("too deep")),
        ] {
            let mut items = Items(2_000 + ITEMS_OF_MESSAGE);
            let counted = items.message(Some(&message), &mut &*encoded, None, DEPTH_MAX);
            match expected {
                Ok(expected) => assert_eq!((counted, 2_000 - items.0), (Ok(()), expected)),
                Err(expected) => {
                    let reason = counted.unwrap_err();
                    assert!(reason.contains(expected), "{expected} is not in: {reason}");
                }
            }
        }
    }
}
