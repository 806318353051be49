//! Encodes commands.

use bytes::BytesMut;
use redis_protocol::resp3::encode::complete::extend_encode_borrowed;
use redis_protocol::resp3::types::BorrowedFrame;

use crate::Error;

/// The commands of a pipeline, encoded one after the other.
pub fn encode(commands: &[Vec<Vec<u8>>]) -> Result<Vec<u8>, Error> {
    let mut out = BytesMut::new();
    for command in commands {
        let arguments: Vec<BorrowedFrame<'_>> = command
            .iter()
            .map(|argument| BorrowedFrame::BlobString { data: argument, attributes: None })
            .collect();
        let frame = BorrowedFrame::Array { data: &arguments, attributes: None };
        extend_encode_borrowed(&mut out, &frame, false)
            .map_err(|e| Error::Command(e.to_string()))?;
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_a_pipeline_follow_each_other() {
        let get = vec![b"GET".to_vec(), b"a\r\n".to_vec()];
        let bytes = encode(&[get.clone(), get]).unwrap();
        assert_eq!(bytes, b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n".repeat(2));
    }
}
