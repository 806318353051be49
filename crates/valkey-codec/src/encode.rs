//! Commands as bytes.

use bytes::BytesMut;
use redis_protocol::resp3::encode::complete::extend_encode_borrowed;
use redis_protocol::resp3::types::BorrowedFrame;

use crate::{Address, Error};

/// A pipeline's commands, one after the other.
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

/// What is said first on a connection: the protocol's version, who speaks, which database.
pub fn hello(address: &Address) -> Vec<Vec<Vec<u8>>> {
    let mut hello: Vec<Vec<u8>> = vec![b"HELLO".to_vec(), b"3".to_vec()];
    if let (Some(user), Some(password)) = (&address.user, &address.password) {
        hello.extend([b"AUTH".to_vec(), user.clone().into_bytes(), password.clone().into_bytes()]);
    }
    hello.extend([b"SETNAME".to_vec(), b"doorbuster".to_vec()]);
    let mut commands = vec![hello];
    if address.database != 0 {
        commands.push(vec![b"SELECT".to_vec(), address.database.to_string().into_bytes()]);
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_its_commands_in_a_row() {
        let get = vec![b"GET".to_vec(), b"a\r\n".to_vec()];
        let bytes = encode(&[get.clone(), get]).unwrap();
        assert_eq!(bytes, b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n".repeat(2));
    }

    #[test]
    fn hello_says_who_and_where() {
        let plain = hello(&Address::parse("redis://h").unwrap());
        assert_eq!(plain, [vec![b"HELLO".to_vec(), b"3".into(), b"SETNAME".into(), b"doorbuster".into()]]);
        let full = hello(&Address::parse("redis://u:p@h/2").unwrap());
        assert_eq!(full[0][2..5], [b"AUTH".to_vec(), b"u".into(), b"p".into()]);
        assert_eq!(full[1], [b"SELECT".to_vec(), b"2".into()]);
    }
}
