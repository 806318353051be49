//! Decodes what a server sends on a connection that subscribes to channels. The connection uses RESP2,
//! in which messages have the same form on every server.

use crate::nesting::number;
use crate::{Decoder, Error, Reply, Scalar};

/// The beginning of a message, before the length of the channel's name.
const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n$";

/// The end of a line, and of a string.
const END: &[u8] = b"\r\n";

/// The most bytes of a message before its payload, and of any other reply.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// What a server sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A message.
    Message {
        /// The channel that it was published on.
        channel: Vec<u8>,
        /// Its content.
        payload: Vec<u8>,
    },
    /// A message whose payload is too long. The payload was not stored.
    TooLong {
        /// The channel that it was published on.
        channel: Vec<u8>,
        /// The length of the payload.
        bytes: u64,
    },
    /// A channel was subscribed to.
    Subscribed,
    /// Another reply, for example to PING.
    Other(Reply),
}

/// Collects received bytes until they contain complete events. It keeps little more than the longest
/// payload in memory.
#[derive(Debug)]
pub struct SubscriptionDecoder {
    decoder: Decoder,
    payload_max: usize,
    /// Bytes to come that belong to a payload which is too long.
    skip: u64,
}

impl SubscriptionDecoder {
    /// Decodes messages whose payloads have at most this number of bytes.
    pub fn new(payload_max: usize) -> Self {
        let mut decoder = Decoder::default();
        decoder.expect_resp2();
        Self { decoder, payload_max, skip: 0 }
    }

    /// Number of received bytes that are not decoded yet.
    pub fn pending(&self) -> usize {
        self.decoder.pending()
    }

    /// Adds received bytes. [`Self::next`] must have returned None before.
    pub fn feed(&mut self, bytes: &[u8]) {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        self.decoder.feed(bytes.get(skipped..).unwrap_or_default());
    }

    /// Removes and returns the next event. None if more bytes are needed.
    #[allow(clippy::should_implement_trait, reason = "None is not the end: more bytes may follow")]
    pub fn next(&mut self) -> Result<Option<Event>, Error> {
        if let Some(reply) = self.decoder.next()? {
            return Ok(Some(self.event(reply)));
        }
        let pending = self.pending();
        if pending <= self.payload_max.saturating_add(HEAD_BYTES_MAX) {
            return Ok(None);
        }
        let head = Head::read(self.decoder.bytes());
        let head = head.filter(|head| head.payload > self.payload_max as u64).ok_or_else(|| {
            Error::Protocol(format!("more than {HEAD_BYTES_MAX} bytes that are not a payload"))
        })?;
        // The message is not complete, so its end is after the bytes that are here.
        self.skip = head.end.saturating_sub(pending as u64);
        self.decoder.clear();
        Ok(Some(Event::TooLong { channel: head.channel, bytes: head.payload }))
    }

    fn event(&self, reply: Reply) -> Event {
        let Reply::Many(parts) = reply else { return Event::Other(reply) };
        match <[Scalar; 3]>::try_from(parts) {
            Ok([Scalar::Text(kind), Scalar::Text(channel), Scalar::Text(payload)])
                if kind == b"message" =>
            {
                if payload.len() <= self.payload_max {
                    return Event::Message { channel, payload };
                }
                Event::TooLong { channel, bytes: payload.len() as u64 }
            }
            Ok([Scalar::Text(kind), Scalar::Text(_), Scalar::Integer(_)])
                if kind == b"subscribe" =>
            {
                Event::Subscribed
            }
            Ok(parts) => Event::Other(Reply::Many(parts.into())),
            Err(parts) => Event::Other(Reply::Many(parts)),
        }
    }
}

/// The beginning of a message.
struct Head {
    channel: Vec<u8>,
    /// The length of the payload.
    payload: u64,
    /// The length of the whole message.
    end: u64,
}

impl Head {
    /// None if it is not complete, or another reply.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = number(bytes.strip_prefix(MESSAGE)?)?;
        let (channel, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let (payload, rest) = number(rest.strip_prefix(END)?.strip_prefix(b"$")?)?;
        let payload = u64::try_from(payload).ok()?;
        let start = bytes.len().saturating_sub(rest.len()) as u64;
        let end = start.saturating_add(payload).saturating_add(END.len() as u64);
        Some(Self { channel: channel.into(), payload, end })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(channel: &str, payload: &[u8]) -> Vec<u8> {
        let head = format!(
            "*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n",
            channel.len(),
            payload.len()
        );
        [head.as_bytes(), payload, END].concat()
    }

    /// The events in these bytes, which arrive in parts of this size, and the most bytes in memory.
    fn decode(bytes: &[u8], payload_max: usize, part: usize) -> (Result<Vec<Event>, Error>, usize) {
        let mut decoder = SubscriptionDecoder::new(payload_max);
        let (mut events, mut most) = (Vec::new(), 0);
        for part in bytes.chunks(part) {
            decoder.feed(part);
            most = most.max(decoder.pending());
            loop {
                match decoder.next() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (Err(error), most),
                }
            }
        }
        (Ok(events), most)
    }

    #[test]
    fn messages_are_distinguished_from_other_replies() {
        let bytes = [
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n".as_slice(),
            &message("a", b"one"),
            b"*2\r\n$4\r\npong\r\n$0\r\n\r\n",
            b"-NOPERM no\r\n",
            &message("b", b""),
        ]
        .concat();
        let text = |text: &str| Scalar::Text(text.into());
        let expected = vec![
            Event::Subscribed,
            Event::Message { channel: b"a".into(), payload: b"one".into() },
            Event::Other(Reply::Many(vec![text("pong"), text("")])),
            Event::Other(Reply::One(Scalar::Error("NOPERM no".into()))),
            Event::Message { channel: b"b".into(), payload: Vec::new() },
        ];
        assert_eq!(decode(&bytes, 3, 1).0.unwrap(), expected);
    }

    #[test]
    fn the_rest_of_a_payload_that_is_too_long_is_not_stored() {
        let (max, long) = (100, HEAD_BYTES_MAX * 3);
        let bytes = [message("a", &vec![b'x'; long]), message("a", b"next")].concat();
        for part in [1_000, bytes.len()] {
            let (events, most) = decode(&bytes, max, part);
            let expected = vec![
                Event::TooLong { channel: b"a".into(), bytes: long as u64 },
                Event::Message { channel: b"a".into(), payload: b"next".into() },
            ];
            assert_eq!(events.unwrap(), expected, "{part}");
            assert!(most <= max + HEAD_BYTES_MAX + part, "{most}");
        }
    }

    #[test]
    fn other_replies_have_a_maximum_length() {
        let long = format!("*2\r\n$4\r\npong\r\n${}\r\n", 10 << 20);
        let bytes = [long.as_bytes(), &vec![b'x'; HEAD_BYTES_MAX * 2]].concat();
        assert!(decode(&bytes, 100, 4_096).0.is_err());
        let channel = "c".repeat(HEAD_BYTES_MAX * 2);
        assert!(decode(&message(&channel, b"x"), 100, 4_096).0.is_err());
    }

    proptest! {
        #[test]
        fn the_parts_in_which_bytes_arrive_do_not_matter(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            part in 1_usize..60,
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|p| message("c", p)).collect();
            let expected: Vec<Event> = payloads
                .into_iter()
                .map(|payload| match payload.len() {
                    0..=20 => Event::Message { channel: b"c".into(), payload },
                    bytes => Event::TooLong { channel: b"c".into(), bytes: bytes as u64 },
                })
                .collect();
            prop_assert_eq!(decode(&bytes, 20, part).0.unwrap(), expected);
        }

        #[test]
        fn arbitrary_bytes_do_not_cause_a_panic(bytes: Vec<u8>, part in 1_usize..60) {
            let _ = decode(&bytes, 20, part);
        }
    }
}
