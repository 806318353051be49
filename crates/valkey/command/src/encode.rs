//! Encodes commands.

/// A command whose words are stored one after the other, so that a command with thousands of words
/// takes no allocation for each of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    content: Vec<u8>,
    /// Where each word ends in `content`.
    ends: Vec<usize>,
}

impl Command {
    /// An empty command with room for this number of words, and of bytes in all words together.
    pub fn with_capacity(words: usize, bytes: usize) -> Self {
        Self { content: Vec::with_capacity(bytes), ends: Vec::with_capacity(words) }
    }

    /// Adds a word.
    pub fn push(&mut self, word: &[u8]) {
        self.content.extend_from_slice(word);
        self.ends.push(self.content.len());
    }

    /// The words, in order.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut rest = self.content.as_slice();
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let word = rest.split_off(..end - start).unwrap_or_default();
            start = *end;
            word
        })
    }

    /// The command as RESP.
    pub fn encode(&self) -> Vec<u8> {
        let length = self.content.len() + (self.ends.len() + 1) * HEADER_BYTES;
        let mut out = Vec::with_capacity(length);
        write(&mut out, self.words());
        out
    }
}

/// Room for the length of a word below 10,000 bytes, and for the ends of two lines.
const HEADER_BYTES: usize = 9;

/// The commands of a pipeline as RESP, one after the other.
pub fn encode(commands: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut out = Vec::new();
    for command in commands {
        write(&mut out, command.iter().map(Vec::as_slice));
    }
    out
}

/// Writes an array of bulk strings: the only form in which Valkey accepts commands from programs.
fn write<'a>(out: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    write_length(out, b'*', words.len());
    for word in words {
        write_length(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn write_length(out: &mut Vec<u8>, kind: u8, length: usize) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis_protocol::resp3::encode::complete::extend_encode_borrowed;
    use redis_protocol::resp3::types::BorrowedFrame;

    use super::*;

    #[test]
    fn the_commands_of_a_pipeline_follow_each_other() {
        let get = vec![b"GET".to_vec(), b"a\r\n".to_vec()];
        let bytes = encode(&[get.clone(), get]);
        assert_eq!(bytes, b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n".repeat(2));
    }

    proptest! {
        #[test]
        fn a_command_is_encoded_as_the_library_does(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..40),
        ) {
            let mut command = Command::default();
            for word in &words {
                command.push(word);
            }
            prop_assert!(command.words().eq(words.iter()));
            let frames: Vec<BorrowedFrame<'_>> = words
                .iter()
                .map(|data| BorrowedFrame::BlobString { data, attributes: None })
                .collect();
            let mut expected = bytes::BytesMut::new();
            let frame = BorrowedFrame::Array { data: &frames, attributes: None };
            extend_encode_borrowed(&mut expected, &frame, false).unwrap();
            prop_assert_eq!(&command.encode(), &expected);
            prop_assert_eq!(encode(&[words]), expected);
        }
    }
}
