//! Lists in MessagePack, which the script reads with one call.

/// The first bytes of the kinds of values. The server's decoder does not know the kind for bytes.
const LIST: u8 = 0xdd;
const SHORT_TEXT: u8 = 0xd9;
const TEXT: u8 = 0xdb;
const DOUBLE: u8 = 0xcb;
const FALSE: u8 = 0xc2;
const TRUE: u8 = 0xc3;

/// A value that is being encoded. Encoding into memory cannot fail, so there is no error to handle,
/// unlike with a general library.
#[derive(Debug, Default)]
pub(crate) struct Packed(Vec<u8>);

impl Packed {
    /// No value yet, with room for this number of bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// The encoded value.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Begins a list: this number of values must follow.
    pub fn list(&mut self, length: usize) {
        self.0.push(LIST);
        self.length(length);
    }

    /// Adds the values of a list, which `add` encodes.
    pub fn list_of<T>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
        mut add: impl FnMut(&mut Self, T),
    ) {
        self.list(values.len());
        values.for_each(|value| add(self, value));
    }

    /// Adds a text, which need not be UTF-8.
    pub fn text(&mut self, text: &[u8]) {
        match u8::try_from(text.len()) {
            Ok(length) => self.0.extend([SHORT_TEXT, length]),
            Err(_) => {
                self.0.push(TEXT);
                self.length(text.len());
            }
        }
        self.0.extend_from_slice(text);
    }

    /// Adds the digits of an integer as a text: a number of the script is exact up to 2^53 only.
    pub fn digits(&mut self, number: impl itoa::Integer) {
        self.text(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Adds a number.
    pub fn number(&mut self, number: f64) {
        self.0.push(DOUBLE);
        self.0.extend(number.to_be_bytes());
    }

    /// Adds a truth value.
    pub fn flag(&mut self, flag: bool) {
        self.0.push(if flag { TRUE } else { FALSE });
    }

    /// The limits of a batch are far below the maximum of this length.
    fn length(&mut self, length: usize) {
        self.0.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_begins_with_its_length() {
        for (length, header) in [
            (0, &[0xd9, 0][..]),
            (255, &[0xd9, 255]),
            (256, &[0xdb, 0, 0, 1, 0]),
            (70_000, &[0xdb, 0, 1, 0x11, 0x70]),
        ] {
            let text = vec![0xff; length];
            let mut packed = Packed::default();
            packed.text(&text);
            assert!(packed.bytes() == [header, &text].concat(), "{length}");
        }
    }
}
