//! Splits encoded commands.

use crate::Error;
use crate::nesting::{number, text};

/// The arguments of each command; the inverse of [`encode`](crate::encode). Fails at the first
/// command after `max` of them.
pub fn split(mut bytes: &[u8], max: usize) -> Result<Vec<Vec<&[u8]>>, Error> {
    let mut commands = Vec::new();
    while !bytes.is_empty() {
        if commands.len() == max {
            return Err(Error::Commands(max));
        }
        let (command, rest) = command(bytes).ok_or_else(|| {
            Error::Command("it is not an array of bulk strings, or not complete".into())
        })?;
        commands.push(command);
        bytes = rest;
    }
    Ok(commands)
}

/// The arguments of the first command, and the bytes after it.
fn command(bytes: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (count, mut bytes) = number(bytes.strip_prefix(b"*")?)?;
    if count < 1 {
        return None;
    }
    let mut arguments = Vec::new();
    for _ in 0..count {
        let (length, start) = number(bytes.strip_prefix(b"$")?)?;
        bytes = text(b'$', length, start)?;
        let end = start.len().checked_sub(bytes.len())?;
        arguments.push(start.get(..end)?.strip_suffix(b"\r\n")?);
    }
    Some((arguments, bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode;

    proptest! {
        #[test]
        fn it_is_the_inverse_of_encode(
            commands in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5),
                0..5,
            ),
        ) {
            let bytes = encode(&commands);
            prop_assert_eq!(split(&bytes, commands.len()).unwrap(), commands);
        }

        #[test]
        fn arbitrary_bytes_do_not_cause_a_panic(bytes: Vec<u8>) {
            let _ = split(&bytes, usize::MAX);
        }
    }

    #[test]
    fn it_stops_at_the_first_command_beyond_the_maximum() {
        let bytes = [encode(&[vec![b"PING".to_vec()], vec![b"PING".to_vec()]]), b"x".to_vec()];
        assert_eq!(split(&bytes.concat(), 2), Err(Error::Commands(2)));
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            "PING\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*1\r\n",
            "*1\r\n+PING\r\n",
            "*1\r\n$4\r\nPING",
            "*1\r\n$4\r\nPINGxx",
            "*1\r\n$-1\r\n",
            "*1\r\n*1\r\n$4\r\nPING\r\n",
            "*2\r\n$4\r\nPING\r\n",
            "*1\r\n$4\r\nPING\r\nx",
            "*9223372036854775807\r\n$1\r\na\r\n",
            "*1\r\n$9223372036854775807\r\na\r\n",
        ] {
            let split = split(bytes.as_bytes(), usize::MAX);
            assert!(matches!(split, Err(Error::Command(_))), "{bytes:?}: {split:?}");
        }
    }
}
