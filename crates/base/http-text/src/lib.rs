//! Parts of HTTP messages as text, which the host and the components parse in the same way.

mod fields;
mod host;
mod message;
mod path;
mod pattern;
mod retry_after;

pub use fields::{FIELDS_BYTES_MAX, find, from_lines, to_lines};
pub use host::is_address_or_localhost;
pub use message::{BODY_BYTES_MAX, check_length, check_size, complete_length, request_target};
pub use path::decode_path;
pub use pattern::PathPattern;
pub use retry_after::retry_after;
