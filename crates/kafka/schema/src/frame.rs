//! Confluent's wire format: a zero byte, the schema's id, and the encoded value.

use bytes::Bytes;

/// The first byte of a value with a schema.
const MAGIC: u8 = 0;
/// Bytes before the encoded value: the first byte and the id.
const PREFIX_BYTES: usize = 5;

/// Splits a value into the schema's id and the encoded value; `None` if it has no schema's id.
pub(crate) fn split(value: &Bytes) -> Option<(u32, Bytes)> {
    let (prefix, _) = value.split_first_chunk::<PREFIX_BYTES>()?;
    let [MAGIC, id @ ..] = *prefix else { return None };
    Some((u32::from_be_bytes(id), value.slice(PREFIX_BYTES..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_begins_with_a_zero_byte_and_the_id() {
        let value = Bytes::from_static(b"\0\0\0\x01\x02{}");
        assert_eq!(split(&value), Some((258, Bytes::from_static(b"{}"))));
        assert_eq!(split(&Bytes::from_static(b"\0\xff\xff\xff\xff")), Some((u32::MAX, "".into())));
        for other in [&b""[..], b"\0\0\0\x01", b"\x01\0\0\0\x01{}", b"{\"a\":1}"] {
            assert_eq!(split(&Bytes::copy_from_slice(other)), None, "{other:?}");
        }
    }
}
