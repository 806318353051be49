//! Checks the shape of a response before it is decoded.
//!
//! `kafka-protocol` allocates memory for as many elements as an array announces. This check ensures
//! that the announced elements exist.

use bytes::Buf;

/// A part of a response. Only versions without tagged fields are used.
pub enum Field {
    /// A fixed number of bytes.
    Fixed(usize),
    /// A string after its 16-bit length.
    Text,
    /// Bytes after their 32-bit length.
    Bytes,
    /// An array: a 32-bit count, then that many elements.
    Array(&'static [Field]),
}

use Field::{Array, Bytes, Fixed, Text};

pub const API_VERSIONS_0: &[Field] = &[Fixed(2), Array(&[Fixed(6)])];
pub const SASL_HANDSHAKE_1: &[Field] = &[Fixed(2), Array(&[Text])];
pub const SASL_AUTHENTICATE_0: &[Field] = &[Fixed(2), Text, Bytes];
pub const SASL_AUTHENTICATE_1: &[Field] = &[Fixed(2), Text, Bytes, Fixed(8)];
pub const INIT_PRODUCER_ID_0: &[Field] = &[Fixed(16)];
pub const METADATA_4: &[Field] = &[
    Fixed(4),
    Array(&[Fixed(4), Text, Fixed(4), Text]),
    Text,
    Fixed(4),
    Array(&[Fixed(2), Text, Fixed(1), Array(&[Fixed(10), Array(&[Fixed(4)]), Array(&[Fixed(4)])])]),
];
pub const PRODUCE_3: &[Field] = &[Array(&[Text, Array(&[Fixed(22)])]), Fixed(4)];
pub const PRODUCE_8: &[Field] =
    &[Array(&[Text, Array(&[Fixed(30), Array(&[Fixed(4), Text]), Text])]), Fixed(4)];

/// Whether the bytes begin with these fields. Removes them from `bytes`.
pub fn fits(fields: &[Field], bytes: &mut &[u8]) -> bool {
    fields.iter().all(|field| match field {
        Fixed(length) => skip(bytes, *length),
        Text => bytes.try_get_i16().is_ok_and(|length| skip(bytes, length.try_into().unwrap_or(0))),
        Bytes => {
            bytes.try_get_i32().is_ok_and(|length| skip(bytes, length.try_into().unwrap_or(0)))
        }
        // Ends at the end of the bytes at the latest, because no element is empty.
        Array(element) => {
            bytes.try_get_i32().is_ok_and(|count| (0..count).all(|_| fits(element, bytes)))
        }
    })
}

fn skip(bytes: &mut &[u8], length: usize) -> bool {
    let enough = bytes.len() >= length;
    if enough {
        bytes.advance(length);
    }
    enough
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_must_contain_its_elements() {
        let announced = |count: i32| [&[0, 0][..], &count.to_be_bytes(), &[0; 12]].concat();
        assert!(fits(API_VERSIONS_0, &mut &*announced(2)));
        assert!(!fits(API_VERSIONS_0, &mut &*announced(3)));
        assert!(!fits(API_VERSIONS_0, &mut &*announced(i32::MAX)));
    }
}
