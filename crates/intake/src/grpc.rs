//! Unary gRPC without a transport: message frames and status codes.
//!
//! Only what one unary call needs. Generated servers ask for futures that may move between
//! threads, which calls of other components are not; see `docs/adr/0003-grpc-by-hand.md`.

use std::borrow::Cow;

use sale::Violation;

use crate::{IntakeError, Problem};

/// Media type of gRPC.
pub const CONTENT_TYPE: &str = "application/grpc";

/// Whether a content type means gRPC with protobuf messages; gRPC-Web is another protocol.
pub fn is_content_type(value: &[u8]) -> bool {
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    media_type.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes())
        || media_type.eq_ignore_ascii_case(b"application/grpc+proto")
}

/// The path of the one method.
pub const METHOD_PATH: &str = "/blackfriday.ProductSaleService/ProcesarVenta";

/// Longest message, in bytes: a sale takes less than 200.
pub const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Bytes before a message: a flag for compression and the length.
const FRAME_HEAD_BYTES: usize = 5;

/// Status codes that are used here, as gRPC numbers them.
pub mod code {
    /// Success.
    pub const OK: u32 = 0;
    /// The caller's message is wrong.
    pub const INVALID_ARGUMENT: u32 = 3;
    /// No answer in time.
    pub const DEADLINE_EXCEEDED: u32 = 4;
    /// The idempotency key belongs to another sale.
    pub const ALREADY_EXISTS: u32 = 6;
    /// Too much under way.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// No such method, or a compression that is not supported.
    pub const UNIMPLEMENTED: u32 = 12;
    /// A fault further down.
    pub const INTERNAL: u32 = 13;
    /// Something further down cannot be reached.
    pub const UNAVAILABLE: u32 = 14;
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// One of [`code`].
    pub code: u32,
    /// For the caller.
    pub message: String,
}

impl Status {
    /// A status with its message.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A request is wrong: the problem of a request over HTTP, in gRPC's words.
    pub fn invalid(problem: Problem) -> Self {
        let Problem { field, detail, .. } = problem;
        let message = match field {
            Some(field) => Violation::new(field, detail).to_string(),
            None => detail,
        };
        Self::new(code::INVALID_ARGUMENT, message)
    }

    /// The message as the header `grpc-message` carries it.
    pub fn encoded_message(&self) -> String {
        let mut out = String::with_capacity(self.message.len());
        for byte in self.message.bytes() {
            match byte {
                b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    }

    /// Reads the headers `grpc-status` and `grpc-message`.
    pub fn decode(code: &str, message: &str) -> Option<Self> {
        Some(Self { code: code.parse().ok()?, message: percent_decode(message).into_owned() })
    }
}

fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        match after.first_chunk().and_then(hex_byte) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

fn hex_byte(digits: &[u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

/// Puts a message into a frame.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(FRAME_HEAD_BYTES + message.len());
    out.push(0);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// Takes the one message out of a body.
pub fn unframe(body: &[u8]) -> Result<&[u8], Status> {
    let broken = || Status::new(code::INTERNAL, "the body is not one whole gRPC message");
    let (head, message) = body.split_at_checked(FRAME_HEAD_BYTES).ok_or_else(broken)?;
    match *head {
        [0, a, b, c, d] if u32::from_be_bytes([a, b, c, d]) as usize == message.len() => {
            Ok(message)
        }
        [0, ..] => Err(broken()),
        _ => Err(Status::new(code::UNIMPLEMENTED, "compressed messages are not supported")),
    }
}

impl From<&IntakeError> for Status {
    fn from(error: &IntakeError) -> Self {
        let code = match error {
            IntakeError::Invalid(_) => code::INVALID_ARGUMENT,
            IntakeError::KeyTaken(_) => code::ALREADY_EXISTS,
            IntakeError::Overloaded(_) => code::RESOURCE_EXHAUSTED,
            IntakeError::Unavailable(_) => code::UNAVAILABLE,
            IntakeError::TimedOut(_) => code::DEADLINE_EXCEEDED,
            IntakeError::Other(_) => code::INTERNAL,
        };
        // A violation reads `field: reason`.
        Self::new(code, error.to_string())
    }
}

impl From<Status> for IntakeError {
    fn from(status: Status) -> Self {
        let message = status.message;
        match status.code {
            code::INVALID_ARGUMENT => match message.split_once(": ") {
                Some((field, reason)) => {
                    IntakeError::Invalid(Violation::new(field.to_owned(), reason))
                }
                None => IntakeError::Other(message),
            },
            code::ALREADY_EXISTS => IntakeError::KeyTaken(message),
            code::RESOURCE_EXHAUSTED => IntakeError::Overloaded(message),
            code::UNAVAILABLE => IntakeError::Unavailable(message),
            code::DEADLINE_EXCEEDED => IntakeError::TimedOut(message),
            code::INTERNAL => IntakeError::Other(message),
            code => IntakeError::Other(format!("gRPC status {code}: {message}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_error_survives_a_hop_over_grpc() {
        for error in [
            IntakeError::Invalid(Violation::new("precio", "must be a number: ¡sí! 100%")),
            IntakeError::KeyTaken("another".into()),
            IntakeError::Overloaded("full".into()),
            IntakeError::Unavailable("down\n".into()),
            IntakeError::TimedOut("late".into()),
            IntakeError::Other("odd: 50%+5".into()),
        ] {
            let status = Status::from(&error);
            let decoded = Status::decode(&status.code.to_string(), &status.encoded_message());
            assert_eq!(decoded.map(IntakeError::from), Some(error));
        }
    }

    #[test]
    fn foreign_codes_and_messages_keep_what_they_say() {
        let of = |code, message| IntakeError::from(Status::new(code, message));
        assert_eq!(of(16, "who?"), IntakeError::Other("gRPC status 16: who?".into()));
        assert_eq!(of(code::INVALID_ARGUMENT, "no"), IntakeError::Other("no".into()));
        let decoded = Status::decode("14", "100% +%+5%zz%4%41").map(|status| status.message);
        assert_eq!(decoded.as_deref(), Some("100% +%+5%zz%4A"));
        assert_eq!(Status::decode("", "no code"), None);
    }

    #[test]
    fn a_wrong_request_names_its_field() {
        let status = Status::invalid(crate::request::body_too_large(9));
        let expected = Violation::new("body", "the body must be at most 9 bytes");
        assert_eq!(IntakeError::from(status), IntakeError::Invalid(expected));
    }

    #[test]
    fn content_types() {
        for grpc in ["application/grpc", "Application/gRPC", "application/grpc+proto; a=b"] {
            assert!(is_content_type(grpc.as_bytes()), "{grpc}");
        }
        for other in ["", "application/grpc-web", "application/grpc+json", "application/json"] {
            assert!(!is_content_type(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn frames_that_are_not_one_whole_message() {
        let whole = frame(b"abc");
        assert_eq!(whole, [0, 0, 0, 0, 3, b'a', b'b', b'c']);
        for wrong in [&whole[..4], &whole[..7], &[whole.clone(), vec![0]].concat()] {
            assert_eq!(unframe(wrong).unwrap_err().code, code::INTERNAL);
        }
        assert_eq!(unframe(&[1, 0, 0, 0, 0]).unwrap_err().code, code::UNIMPLEMENTED);
    }

    proptest! {
        #[test]
        fn frames_and_messages_round_trip(bytes: Vec<u8>, text: String) {
            let framed = frame(&bytes);
            prop_assert_eq!(unframe(&framed), Ok(bytes.as_slice()));
            let status = Status::new(code::INTERNAL, text);
            prop_assert!(status.encoded_message().bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(Status::decode("13", &status.encoded_message()), Some(status));
        }

        #[test]
        fn outside_bytes_never_panic(bytes: Vec<u8>, text: String) {
            let _ = unframe(&bytes);
            let _ = Status::decode(&text, &text);
        }
    }
}
