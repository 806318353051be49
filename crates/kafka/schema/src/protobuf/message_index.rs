//! The message type of a value in Confluent's wire format.

use prost_reflect::{FileDescriptor, MessageDescriptor};

/// How deep a message type may be nested in others.
const DEPTH_MAX: usize = 32;

/// Splits a value into its message type and the encoded message. The value begins with the number of
/// indexes and the indexes: that of a message type in the file, and those of the types nested in it.
/// A number of 0 means the first message type of the file.
pub(super) fn split<'a>(
    file: &FileDescriptor,
    payload: &'a [u8],
) -> Result<(MessageDescriptor, &'a [u8]), String> {
    let mut input = payload;
    let count = varint(&mut input)?;
    if count > DEPTH_MAX {
        return Err(format!("the message type has more than {DEPTH_MAX} indexes"));
    }
    let mut indexes = vec![0];
    if count > 0 {
        indexes = (0..count).map(|_| varint(&mut input)).collect::<Result<_, _>>()?;
    }
    let mut path = indexes.iter();
    let mut found = path.next().and_then(|index| file.messages().nth(*index));
    for index in path {
        found = found.and_then(|message| message.child_messages().nth(*index));
    }
    match found {
        Some(message) => Ok((message, input)),
        None => Err(format!("the schema has no message type with the indexes {indexes:?}")),
    }
}

/// A number in zigzag encoding. A negative one is as invalid as one that is too large.
fn varint(input: &mut &[u8]) -> Result<usize, String> {
    let zigzag = prost::encoding::decode_varint(input)
        .map_err(|_| "the value ends early, or an index is invalid".to_owned())?;
    let number = if zigzag & 1 == 0 { zigzag >> 1 } else { u64::MAX };
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}
