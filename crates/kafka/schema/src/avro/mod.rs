//! Values in Avro, converted to JSON.
//!
//! No library is used for this, because values come from anyone who may write to the topic: a value
//! of a few bytes must neither exhaust the stack nor the memory. `apache-avro` 0.22 does not limit
//! how deep a value is nested, and creates it in memory as a whole.

mod parse;
mod value;

pub(crate) use parse::AvroSchema;

/// A type of a schema. Other types are referred to by their index, so that a record can contain
/// itself.
#[derive(Debug)]
enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    /// A number with this many digits after the point, in the bytes of another type.
    Decimal {
        bytes: usize,
        scale: usize,
    },
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Debug)]
struct Field {
    name: String,
    node: usize,
}
