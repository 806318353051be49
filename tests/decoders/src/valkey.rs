//! The decoder of Valkey's replies.
//!
//! Input: a byte with the protocol's version and the length of the pieces, then the bytes that the
//! server sends.

use valkey_codec::{
    Address, Decoder, Error, Event, Refusal, Reply, Scalar, SubscriptionDecoder, encode,
    is_hello_unsupported, refusal, refusal_resp2, shows_no_primary, split,
};

use crate::lines;

const PASSWORD: &str = "correct-horse";

/// The longest payload of a message.
const PAYLOAD_MAX: usize = 8;

/// The longest part of a message before its payload. It is short, so that payloads are skipped.
const HEAD_MAX: usize = 40;

/// Checks an input.
pub fn check(mut bytes: &[u8]) {
    let options = lines::byte(&mut bytes);
    let (resp2, piece) = (options & 1 == 1, usize::from(options >> 1) + 1);
    let whole = replies(bytes, resp2, bytes.len().max(1));
    let pieces = replies(bytes, resp2, piece);
    assert_eq!(shapes(&whole.0), shapes(&pieces.0));
    assert_eq!(whole.1.is_some(), pieces.1.is_some(), "{:?} {:?}", whole.1, pieces.1);
    let scalars = || whole.0.iter().flat_map(scalars);
    assert!(scalars().count() + whole.0.len() <= bytes.len());
    assert!(scalars().map(text_bytes).sum::<usize>() <= bytes.len());
    check_greeting(&whole.0);
    check_commands(bytes, resp2);
    let whole = events(bytes, bytes.len().max(1));
    let pieces = events(bytes, piece);
    assert_eq!(whole.0, pieces.0);
    assert_eq!(whole.1.is_some(), pieces.1.is_some(), "{:?} {:?}", whole.1, pieces.1);
}

/// All events of a subscription, and the error that ended them.
fn events(bytes: &[u8], piece: usize) -> (Vec<Event>, Option<Error>) {
    let mut decoder = SubscriptionDecoder::with_head_max(PAYLOAD_MAX, HEAD_MAX);
    let mut events = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    for event in &events {
        match event {
            Event::Message { payload, .. } => assert!(payload.len() <= PAYLOAD_MAX),
            Event::TooLong { bytes, .. } => assert!(*bytes > PAYLOAD_MAX as u64),
            Event::Subscribed | Event::Other(_) => {}
        }
    }
    (events, None)
}

/// All replies, and the error that ended them.
fn replies(bytes: &[u8], resp2: bool, piece: usize) -> (Vec<Reply>, Option<Error>) {
    let mut decoder = Decoder::default();
    if resp2 {
        decoder.expect_resp2();
    }
    let mut replies = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    assert!(decoder.pending() <= bytes.len());
    (replies, None)
}

/// Sets and maps have no order, and of several pairs with the same key any may remain.
fn shapes(replies: &[Reply]) -> Vec<Vec<String>> {
    let shape = |reply: &Reply| {
        let mut shape: Vec<String> = match reply {
            Reply::One(one) => vec![format!("{one:?}")],
            Reply::Many(many) => many.iter().map(|one| format!("{one:?}")).collect(),
            Reply::Pairs(pairs) => pairs.iter().map(|(key, _)| format!("{key:?}")).collect(),
        };
        shape.sort_unstable();
        shape
    };
    replies.iter().map(shape).collect()
}

fn scalars(reply: &Reply) -> Vec<&Scalar> {
    match reply {
        Reply::One(one) => vec![one],
        Reply::Many(many) => many.iter().collect(),
        Reply::Pairs(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
    }
}

fn text_bytes(scalar: &Scalar) -> usize {
    match scalar {
        Scalar::Text(text) => text.len(),
        // Invalid UTF-8 is replaced by a character of three bytes.
        Scalar::Error(text) => text.replace('\u{fffd}', "?").len(),
        _ => 0,
    }
}

/// Checks that no text contains the password, for any replies of the server to the first commands.
fn check_greeting(replies: &[Reply]) {
    let address = Address::parse(&format!("redis://ana:{PASSWORD}@h/1")).unwrap();
    for refusal in [refusal(&address, replies), refusal_resp2(&address, replies)] {
        if let Some(Refusal::Credentials(text) | Refusal::Other(text)) = refusal {
            assert!(!text.contains(PASSWORD), "{text}");
        }
    }
    for reply in replies {
        let is_error = matches!(reply, Reply::One(Scalar::Error(_)));
        assert!(is_error || !is_hello_unsupported(&address, reply) && !shows_no_primary(reply));
    }
}

/// Checks that a command is decoded, and split, to the same command after it was encoded.
fn check_commands(bytes: &[u8], resp2: bool) {
    let command: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let sent = encode(&[command.clone(), command.clone()]);
    assert_eq!(split(&sent, 2).unwrap(), [command.clone(), command.clone()]);
    if let Ok(commands) = split(bytes, usize::MAX) {
        let owned = |command: &Vec<&[u8]>| command.iter().map(|part| part.to_vec()).collect();
        let sent = encode(&commands.iter().map(owned).collect::<Vec<_>>());
        assert_eq!(split(&sent, commands.len()).unwrap(), commands);
    }
    let read = Reply::Many(command.into_iter().map(Scalar::Text).collect());
    let (replies, fault) = replies(&sent, resp2, sent.len());
    assert_eq!(replies, [read.clone(), read]);
    assert_eq!(fault, None);
}
