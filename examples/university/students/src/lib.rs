//! The students of a university over HTTP: what a request asks for, the statements for PostgreSQL, the
//! answers and the failures. The crate has no code for WebAssembly or the network, so that the component
//! and a native program share it.

mod date;
mod enrolment;
mod error;
mod list;
mod matching;
mod page;
mod route;
pub mod sql;
mod student;

pub use date::Date;
pub use enrolment::Enrolment;
pub use error::StoreError;
pub use list::{json, link};
pub use matching::IfMatch;
pub use page::{LIMIT_MAX, Page, Start};
pub use route::{Operation, Route};
pub use student::{BODY_BYTES_MAX, DocumentKind, Sex, Student};
