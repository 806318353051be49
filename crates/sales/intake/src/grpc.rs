//! Unary gRPC without a transport: message frames and status codes.
//!
//! Contains only what one unary call needs. Generated servers require futures that are `Send`, and
//! calls of other components are not; see `docs/adr/0003-grpc-by-hand.md`.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use sale::Violation;

use crate::{IntakeError, Problem};

/// Media type of gRPC.
pub const CONTENT_TYPE: &str = "application/grpc";

/// Whether a content type means gRPC with protobuf messages. gRPC-Web is a different protocol and
/// is not accepted.
pub fn is_content_type(value: &[u8]) -> bool {
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    media_type.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes())
        || media_type.eq_ignore_ascii_case(b"application/grpc+proto")
}

/// Path of the only method.
pub const METHOD_PATH: &str = "/blackfriday.ProductSaleService/ProcesarVenta";

/// Maximum length of a message, in bytes. A sale takes less than 200.
pub const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Length of the frame header, in bytes: one for the compression flag and four for the message's
/// length.
const FRAME_HEAD_BYTES: usize = 5;

/// Maximum length of a body, which contains one framed message, in bytes.
pub const BODY_BYTES_MAX: usize = FRAME_HEAD_BYTES + MESSAGE_BYTES_MAX;

/// The only compression that is accepted, which means no compression.
pub const IDENTITY: &str = "identity";

/// The gRPC status codes that are used here.
pub mod code {
    /// Success.
    pub const OK: u32 = 0;
    /// The request's message is not valid.
    pub const INVALID_ARGUMENT: u32 = 3;
    /// No answer in time.
    pub const DEADLINE_EXCEEDED: u32 = 4;
    /// The idempotency key was used for another sale.
    pub const ALREADY_EXISTS: u32 = 6;
    /// Too many requests in progress, or the message is too long.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// Unknown method, or a compression that is not supported.
    pub const UNIMPLEMENTED: u32 = 12;
    /// A failure of a later hop.
    pub const INTERNAL: u32 = 13;
    /// A later hop, or a server that it needs, cannot be reached.
    pub const UNAVAILABLE: u32 = 14;
}

/// The result of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// One of [`code`].
    pub code: u32,
    /// The text for the caller.
    pub message: String,
}

impl Status {
    /// A status with its message.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The status for a request that is not valid. Requests are checked with the same problems as
    /// over HTTP.
    pub fn invalid(problem: Problem) -> Self {
        let code = match problem.status() {
            StatusCode::PAYLOAD_TOO_LARGE => code::RESOURCE_EXHAUSTED,
            _ => code::INVALID_ARGUMENT,
        };
        let Problem { field, detail, .. } = problem;
        let message = match field {
            Some(field) => Violation::new(field, detail).to_string(),
            None => detail,
        };
        Self::new(code, message)
    }

    /// The message percent-encoded, as the value of the header `grpc-message`.
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

    /// Decodes the headers `grpc-status` and `grpc-message`. None if the code is not a number.
    pub fn decode(code: &str, message: &str) -> Option<Self> {
        Some(Self { code: code.parse().ok()?, message: percent_decode(message).into_owned() })
    }
}

/// Decodes percent escapes. Those that are not valid are kept unchanged.
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

/// Puts a message into an uncompressed frame.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(FRAME_HEAD_BYTES + message.len());
    out.push(0);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// Extracts the only message from a request's body. `encoding` is the value of `grpc-encoding`.
pub fn request_message<'b>(encoding: Option<&[u8]>, body: &'b [u8]) -> Result<&'b [u8], Status> {
    let unknown = encoding.filter(|encoding| *encoding != IDENTITY.as_bytes());
    match (body.first(), unknown) {
        (Some(1), Some(encoding)) => {
            let encoding = String::from_utf8_lossy(encoding);
            let text = format!("messages compressed with `{encoding}` are not supported");
            Err(Status::new(code::UNIMPLEMENTED, text))
        }
        _ => unframe(body),
    }
}

/// Parses the value of `grpc-timeout`: the time that the caller waits.
pub fn timeout(value: &[u8]) -> Result<Duration, Violation> {
    let wrong = || Violation::new("grpc-timeout", "must be 1 to 8 digits and a unit of HMSmun");
    let (unit, digits) = value.split_last().ok_or_else(wrong)?;
    let digits = std::str::from_utf8(digits).ok().filter(|text| (1..=8).contains(&text.len()));
    let all_digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.filter(all_digits).and_then(|t| t.parse().ok()).ok_or_else(wrong)?;
    match unit {
        b'H' => Ok(Duration::from_secs(number * 3_600)),
        b'M' => Ok(Duration::from_secs(number * 60)),
        b'S' => Ok(Duration::from_secs(number)),
        b'm' => Ok(Duration::from_millis(number)),
        b'u' => Ok(Duration::from_micros(number)),
        b'n' => Ok(Duration::from_nanos(number)),
        _ => Err(wrong()),
    }
}

/// Extracts the only message from a body.
pub fn unframe(body: &[u8]) -> Result<&[u8], Status> {
    let broken =
        || Status::new(code::INTERNAL, "the body is not exactly one complete gRPC message");
    let (head, message) = body.split_at_checked(FRAME_HEAD_BYTES).ok_or_else(broken)?;
    match *head {
        [0, a, b, c, d] if u32::from_be_bytes([a, b, c, d]) as usize == message.len() => {
            Ok(message)
        }
        [1, ..] => {
            let text = "the message is marked as compressed, but there is no grpc-encoding";
            Err(Status::new(code::INTERNAL, text))
        }
        _ => Err(broken()),
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
        let message = match error {
            // The text has the form `field: reason`.
            IntakeError::Invalid(violation) => violation.to_string(),
            error => error.for_client().into_owned(),
        };
        Self::new(code, message)
    }
}

impl From<Status> for IntakeError {
    fn from(status: Status) -> Self {
        let message = status.message;
        match status.code {
            code::INVALID_ARGUMENT => match message.split_once(": ") {
                Some((field, reason)) => IntakeError::Invalid(Violation::new(field, reason)),
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
            let after = IntakeError::from(decoded.unwrap());
            assert_eq!(std::mem::discriminant(&after), std::mem::discriminant(&error));
            assert_eq!(after.for_client(), error.for_client());
            let hidden = error.for_log().is_some_and(|text| status.message.contains(text));
            assert!(!hidden, "for the log only: {status:?}");
        }
    }

    #[test]
    fn unknown_codes_and_messages_are_kept() {
        let of = |code, message| IntakeError::from(Status::new(code, message));
        assert_eq!(of(16, "who?"), IntakeError::Other("gRPC status 16: who?".into()));
        assert_eq!(of(code::INVALID_ARGUMENT, "no"), IntakeError::Other("no".into()));
        let decoded = Status::decode("14", "100% +%+5%zz%4%41").map(|status| status.message);
        assert_eq!(decoded.as_deref(), Some("100% +%+5%zz%4A"));
        assert_eq!(Status::decode("", "no code"), None);
    }

    #[test]
    fn a_wrong_request_names_its_field() {
        let violation = Violation::new("body", "must be there");
        let status = Status::invalid(violation.clone().into());
        assert_eq!(IntakeError::from(status), IntakeError::Invalid(violation));
        let status = Status::invalid(crate::request::body_too_large(9));
        assert_eq!(status.code, code::RESOURCE_EXHAUSTED);
    }

    #[test]
    fn compressed_messages() {
        let (mut compressed, plain) = (frame(b"abc"), frame(b"abc"));
        compressed[0] = 1;
        let code = |encoding: Option<&[u8]>, body: &[u8]| {
            request_message(encoding, body).map_or_else(|status| status.code, |_| code::OK)
        };
        assert_eq!(code(Some(b"gzip"), &compressed), code::UNIMPLEMENTED);
        assert_eq!(code(Some(b"gzip"), &plain), code::OK);
        assert_eq!(code(Some(b"identity"), &compressed), code::INTERNAL);
        assert_eq!(code(None, &compressed), code::INTERNAL);
        assert_eq!(code(None, &plain), code::OK);
    }

    #[test]
    fn timeouts() {
        for (value, expected) in [
            ("15S", Duration::from_secs(15)),
            ("99999999H", Duration::from_secs(99_999_999 * 3_600)),
            ("1M", Duration::from_secs(60)),
            ("0n", Duration::ZERO),
            ("250m", Duration::from_millis(250)),
            ("7u", Duration::from_micros(7)),
        ] {
            assert_eq!(timeout(value.as_bytes()), Ok(expected), "{value}");
        }
        for wrong in ["", "S", "15", "15s", "123456789S", "-1S", "+1S", "1.5S", " 1S"] {
            assert_eq!(timeout(wrong.as_bytes()).unwrap_err().field, "grpc-timeout", "{wrong}");
        }
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
    fn bodies_that_are_not_exactly_one_message() {
        let whole = frame(b"abc");
        assert_eq!(whole, [0, 0, 0, 0, 3, b'a', b'b', b'c']);
        for wrong in [&whole[..4], &whole[..7], &[whole.clone(), vec![0]].concat()] {
            assert_eq!(unframe(wrong).unwrap_err().code, code::INTERNAL);
        }
        for flag in [1, 2, 255] {
            assert_eq!(unframe(&[flag, 0, 0, 0, 0]).unwrap_err().code, code::INTERNAL);
        }
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
        fn arbitrary_bytes_do_not_cause_a_panic(bytes: Vec<u8>, text: String) {
            let _ = unframe(&bytes);
            let _ = Status::decode(&text, &text);
        }
    }
}
