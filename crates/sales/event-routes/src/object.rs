//! Objects with typed fields. Their JSON is read strictly and written in one canonical form: the
//! fields in the order of the configuration, without spaces, and each number as its type prints it.

mod config;
mod limits;
mod read;
mod shape;
mod write;

pub use config::FieldConfig;
pub use shape::Shape;

#[cfg(test)]
mod tests;
