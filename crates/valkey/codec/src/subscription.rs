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
    head_max: usize,
    /// A message whose payload is too long, until its end was received.
    skipped: Option<Skipped>,
}

#[derive(Debug)]
struct Skipped {
    channel: Vec<u8>,
    /// The length of the payload.
    payload: u64,
    /// Bytes to come, with the line that ends the payload.
    left: u64,
}

impl SubscriptionDecoder {
    /// Decodes messages whose payloads have at most this number of bytes.
    pub fn new(payload_max: usize) -> Self {
        Self::with_head_max(payload_max, HEAD_BYTES_MAX)
    }

    /// The same with another maximum for the bytes of a message before its payload, and of any other
    /// reply.
    pub fn with_head_max(payload_max: usize, head_max: usize) -> Self {
        let mut decoder = Decoder::default();
        decoder.expect_resp2();
        Self { decoder, payload_max, head_max, skipped: None }
    }

    /// Number of received bytes that are not decoded yet.
    pub fn pending(&self) -> usize {
        self.decoder.pending()
    }

    /// Adds received bytes. [`Self::next`] must have returned None before.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if let Some(Skipped { left, .. }) = &mut self.skipped {
            let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            *left -= skipped as u64;
            rest = bytes.get(skipped..).unwrap_or_default();
        }
        self.decoder.feed(rest);
    }

    /// Removes and returns the next event. None if more bytes are needed.
    #[allow(clippy::should_implement_trait, reason = "None is not the end: more bytes may follow")]
    pub fn next(&mut self) -> Result<Option<Event>, Error> {
        if let Some(Skipped { channel, payload, .. }) = self.skipped.take_if(|it| it.left == 0) {
            return Ok(Some(Event::TooLong { channel, bytes: payload }));
        }
        let before = self.pending();
        let length_max = self.length_max();
        let reply = self.decoder.next()?;
        if let Some(reply) = reply {
            let length = before.saturating_sub(self.pending()) as u64;
            return if length <= length_max {
                Ok(Some(self.event(reply)))
            } else {
                Err(self.too_long())
            };
        }
        if before > self.head_max {
            self.skip_payload()?;
        }
        Ok(None)
    }

    /// The most bytes of the next reply: only a message may be longer than its beginning.
    fn length_max(&self) -> u64 {
        let head = (self.pending() > self.head_max).then(|| self.head()).flatten();
        head.map_or(self.head_max as u64, |head| head.end())
    }

    /// The beginning of the next message, if it is complete and not too long.
    fn head(&self) -> Option<Head<'_>> {
        Head::read(self.decoder.bytes()).filter(|head| head.length <= self.head_max)
    }

    /// Begins to skip the payload of an incomplete message, if it is too long. Everything else that is
    /// longer than the beginning of a message is an error.
    fn skip_payload(&mut self) -> Result<(), Error> {
        let Some(head) = self.head() else { return Err(self.too_long()) };
        if head.payload > self.payload_max as u64 {
            // The message is not complete, so its end is after the bytes that are here.
            let left = head.end().saturating_sub(self.pending() as u64);
            let (channel, payload) = (head.channel.to_vec(), head.payload);
            self.skipped = Some(Skipped { channel, payload, left });
            self.decoder.clear();
        }
        Ok(())
    }

    fn too_long(&self) -> Error {
        Error::Protocol(format!("more than {} bytes that are not a payload", self.head_max))
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
struct Head<'a> {
    channel: &'a [u8],
    /// The length of the payload.
    payload: u64,
    /// The length of the bytes before the payload.
    length: usize,
}

impl<'a> Head<'a> {
    /// None if it is not complete, or another reply.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = number(bytes.strip_prefix(MESSAGE)?)?;
        let (channel, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let (payload, rest) = number(rest.strip_prefix(END)?.strip_prefix(b"$")?)?;
        let payload = u64::try_from(payload).ok()?;
        Some(Self { channel, payload, length: bytes.len().saturating_sub(rest.len()) })
    }

    /// The length of the whole message.
    fn end(&self) -> u64 {
        self.payload.saturating_add((self.length + END.len()) as u64)
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
        decode_with(SubscriptionDecoder::new(payload_max), bytes, part)
    }

    fn decode_with(
        mut decoder: SubscriptionDecoder,
        bytes: &[u8],
        part: usize,
    ) -> (Result<Vec<Event>, Error>, usize) {
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
    fn everything_that_is_not_a_payload_has_a_maximum_length() {
        let long = format!("*2\r\n$4\r\npong\r\n${}\r\n", 10 << 20);
        let reply = [long.as_bytes(), &vec![b'x'; HEAD_BYTES_MAX * 2]].concat();
        let line = [b"-".as_slice(), &vec![b'x'; HEAD_BYTES_MAX * 2]].concat();
        let channel = message(&"c".repeat(HEAD_BYTES_MAX * 2), b"x");
        // Also of a subscription with long payloads.
        for payload_max in [100, 16 << 20] {
            for bytes in [&reply, &line, &channel] {
                let (events, most) = decode(bytes, payload_max, 4_096);
                assert!(events.is_err());
                assert!(most <= HEAD_BYTES_MAX + 4_096, "{most}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_parts_in_which_bytes_arrive_do_not_matter(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..99), 0..8),
            part in 1_usize..150,
        ) {
            let bytes: Vec<u8> = payloads.iter().flat_map(|p| message("c", p)).collect();
            let expected: Vec<Event> = payloads
                .into_iter()
                .map(|payload| match payload.len() {
                    0..=20 => Event::Message { channel: b"c".into(), payload },
                    bytes => Event::TooLong { channel: b"c".into(), bytes: bytes as u64 },
                })
                .collect();
            // The head has at most 29 bytes, so payloads are skipped from any position on.
            for head_max in 32..72 {
                let decoder = SubscriptionDecoder::with_head_max(20, head_max);
                let (events, most) = decode_with(decoder, &bytes, part);
                prop_assert_eq!(events.unwrap(), expected.clone());
                prop_assert!(most <= 20 + head_max + part);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_cause_a_panic(bytes: Vec<u8>, part in 1_usize..60) {
            for head_max in [4, 40, HEAD_BYTES_MAX] {
                let _ = decode_with(SubscriptionDecoder::with_head_max(20, head_max), &bytes, part);
            }
        }
    }
}
