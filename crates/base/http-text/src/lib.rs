//! Parts of HTTP messages as text, which the host and the components parse in the same way.

mod fields;
mod host;

pub use fields::{find, from_lines, to_lines};
pub use host::is_address_or_localhost;
