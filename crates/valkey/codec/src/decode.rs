//! Decodes replies.

use bytes::BytesMut;
use redis_protocol::resp2;
use redis_protocol::resp3::decode::complete::decode;
use redis_protocol::resp3::types::{OwnedFrame, Resp3Frame as _};

use crate::Error;
use crate::nesting::{DEPTH_MAX, fits};

/// A single value in a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Null.
    Nil,
    /// An integer, or a boolean as 0 or 1.
    Integer(i64),
    /// A double.
    Double(f64),
    /// A string of any type of the protocol.
    Text(Vec<u8>),
    /// An error, including its code.
    Error(String),
}

/// The reply to one command; the type `doorbuster:valkey/client.reply`.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A single value.
    One(Scalar),
    /// An array or a set.
    Many(Vec<Scalar>),
    /// A map.
    Pairs(Vec<(Scalar, Scalar)>),
}

/// Collects received bytes until they contain complete replies.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: BytesMut,
    resp2: bool,
}

impl Decoder {
    /// The server uses RESP2 from now on, where null has another encoding and maps are arrays.
    pub fn expect_resp2(&mut self) {
        self.resp2 = true;
    }

    /// Number of received bytes that are not decoded yet.
    pub fn pending(&self) -> usize {
        self.bytes.len()
    }

    /// Adds received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The received bytes that are not decoded yet.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Removes the received bytes that are not decoded yet.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Removes and returns the next complete reply. None if more bytes are needed. Out-of-band
    /// messages are dropped, because no command that is sent here subscribes to any.
    #[allow(clippy::should_implement_trait, reason = "None is not the end: more bytes may follow")]
    pub fn next(&mut self) -> Result<Option<Reply>, Error> {
        if self.resp2 {
            return self.next_resp2();
        }
        loop {
            self.check_nesting()?;
            let decoded = decode(&self.bytes).map_err(|e| Error::Protocol(e.to_string()))?;
            let Some((frame, length)) = decoded else {
                return Ok(None);
            };
            let _ = self.bytes.split_to(length.min(self.bytes.len()));
            if !matches!(frame, OwnedFrame::Push { .. }) {
                return reply(frame).map(Some);
            }
        }
    }

    fn check_nesting(&self) -> Result<(), Error> {
        if fits(&self.bytes) {
            return Ok(());
        }
        Err(Error::Protocol(format!("an unknown type, or nested in more than {DEPTH_MAX} levels")))
    }

    fn next_resp2(&mut self) -> Result<Option<Reply>, Error> {
        self.check_nesting()?;
        let decoded = resp2::decode::decode(&self.bytes);
        let decoded = decoded.map_err(|error| Error::Protocol(error.to_string()))?;
        let Some((frame, length)) = decoded else {
            return Ok(None);
        };
        let _ = self.bytes.split_to(length.min(self.bytes.len()));
        match frame {
            resp2::types::OwnedFrame::Array(items) => {
                items.into_iter().map(scalar_resp2).collect::<Result<_, _>>().map(Reply::Many)
            }
            other => scalar_resp2(other).map(Reply::One),
        }
        .map(Some)
    }
}

fn scalar_resp2(frame: resp2::types::OwnedFrame) -> Result<Scalar, Error> {
    use resp2::types::OwnedFrame;
    Ok(match frame {
        OwnedFrame::Null => Scalar::Nil,
        OwnedFrame::Integer(number) => Scalar::Integer(number),
        OwnedFrame::SimpleString(text) | OwnedFrame::BulkString(text) => Scalar::Text(text),
        OwnedFrame::Error(text) => Scalar::Error(text),
        OwnedFrame::Array(_) => {
            return Err(Error::Protocol("an array inside a reply".into()));
        }
    })
}

fn reply(frame: OwnedFrame) -> Result<Reply, Error> {
    match frame {
        OwnedFrame::Array { data, .. } => {
            data.into_iter().map(scalar).collect::<Result<_, _>>().map(Reply::Many)
        }
        OwnedFrame::Set { data, .. } => {
            data.into_iter().map(scalar).collect::<Result<_, _>>().map(Reply::Many)
        }
        OwnedFrame::Map { data, .. } => data
            .into_iter()
            .map(|(key, value)| Ok((scalar(key)?, map_value(value)?)))
            .collect::<Result<_, _>>()
            .map(Reply::Pairs),
        other => scalar(other).map(Reply::One),
    }
}

/// A value of a map. Nested containers become null: the reply to HELLO contains a list of modules
/// that is not used.
fn map_value(frame: OwnedFrame) -> Result<Scalar, Error> {
    match frame {
        OwnedFrame::Array { .. } | OwnedFrame::Set { .. } | OwnedFrame::Map { .. } => {
            Ok(Scalar::Nil)
        }
        other => scalar(other),
    }
}

fn scalar(frame: OwnedFrame) -> Result<Scalar, Error> {
    Ok(match frame {
        OwnedFrame::Null => Scalar::Nil,
        OwnedFrame::Number { data, .. } => Scalar::Integer(data),
        OwnedFrame::Boolean { data, .. } => Scalar::Integer(i64::from(data)),
        OwnedFrame::Double { data, .. } => Scalar::Double(data),
        OwnedFrame::BlobString { data, .. }
        | OwnedFrame::SimpleString { data, .. }
        | OwnedFrame::BigNumber { data, .. }
        | OwnedFrame::VerbatimString { data, .. } => Scalar::Text(data),
        OwnedFrame::SimpleError { data, .. } => Scalar::Error(data),
        OwnedFrame::BlobError { data, .. } => {
            Scalar::Error(String::from_utf8_lossy(&data).into_owned())
        }
        other => return Err(Error::Protocol(format!("a {:?} inside a reply", other.kind()))),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIRE: &[u8] = b"$3\r\nabc\r\n:7\r\n_\r\n*2\r\n$1\r\na\r\n:1\r\n-NOSCRIPT no\r\n%1\r\n+k\r\n*0\r\n>1\r\n+x\r\n#t\r\n";

    fn expected() -> Vec<Reply> {
        let text = |t: &str| Scalar::Text(t.into());
        vec![
            Reply::One(text("abc")),
            Reply::One(Scalar::Integer(7)),
            Reply::One(Scalar::Nil),
            Reply::Many(vec![text("a"), Scalar::Integer(1)]),
            Reply::One(Scalar::Error("NOSCRIPT no".into())),
            Reply::Pairs(vec![(text("k"), Scalar::Nil)]),
            Reply::One(Scalar::Integer(1)),
        ]
    }

    proptest! {
        #[test]
        fn replies_do_not_depend_on_how_the_bytes_are_split(cuts in prop::collection::vec(1usize..20, 1..80)) {
            let (mut decoder, mut replies, mut rest) = (Decoder::default(), Vec::new(), WIRE);
            for cut in cuts.into_iter().chain([WIRE.len()]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                decoder.feed(now);
                while let Some(reply) = decoder.next().unwrap() {
                    replies.push(reply);
                }
                rest = later;
            }
            prop_assert_eq!(replies, expected());
            prop_assert_eq!(decoder.pending(), 0);
        }

        #[test]
        fn arbitrary_bytes_do_not_cause_a_panic(bytes: Vec<u8>) {
            let mut decoder = Decoder::default();
            decoder.feed(&bytes);
            while let Ok(Some(_)) = decoder.next() {}
        }
    }

    #[test]
    fn deeper_nesting_is_refused() {
        let mut decoder = Decoder::default();
        decoder.feed(b"*1\r\n*1\r\n:1\r\n");
        assert!(matches!(decoder.next(), Err(Error::Protocol(_))));
        // So deeply nested that the decoder would overflow the stack.
        for resp2 in [false, true] {
            let mut decoder = Decoder { resp2, ..Decoder::default() };
            decoder.feed(&b"*1\r\n".repeat(1_000_000));
            assert!(matches!(decoder.next(), Err(Error::Protocol(_))));
        }
    }
}
