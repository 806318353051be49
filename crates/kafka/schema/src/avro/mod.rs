//! Values in Avro, converted to JSON.
//!
//! No library is used for this, because values come from anyone who may write to the topic: a value
//! of a few bytes must neither exhaust the stack nor the memory. `apache-avro` 0.22 does not limit
//! how deep a value is nested, and creates it in memory as a whole.

mod default;
mod parse;
mod resolve;
mod value;

use serde_json::Value;

pub(crate) use self::parse::AvroSchema;
pub(crate) use self::resolve::AvroReader;

/// A type of a schema. Other types are referred to by their index, so that a record can contain
/// itself.
#[derive(Debug, Clone)]
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

    // What follows is only in schemas that were resolved to a reader's schema.
    /// An int or a long, which becomes a float.
    LongAsFloat,
    /// An int or a long, which becomes a double.
    LongAsDouble,
    /// A float, which becomes a double.
    FloatAsDouble,
    /// An enum. The types that its symbols become are constants, or do not fit.
    Symbols(Vec<usize>),
    /// A record of which the reader's schema has other fields.
    Projection(Vec<Part>),
    /// JSON that takes no input.
    Constant(String),
    /// Something that the reader's schema does not permit, with the reason.
    Misfit(String),
}

/// A field of a record.
#[derive(Debug, Clone)]
struct Field {
    name: String,
    node: usize,
    /// Other names of the same field.
    aliases: Vec<String>,
    default: Option<Value>,
}

/// A part of a projected record, in the order of the input.
#[derive(Debug, Clone)]
enum Part {
    /// A field of the reader's schema.
    Field { name: String, node: usize },
    /// A field that the reader's schema does not have.
    Skipped(usize),
}

/// The names of a record, an enum or a fixed type.
#[derive(Debug, Clone)]
struct Name {
    /// The name with its namespace.
    full: String,
    /// Other names with their namespaces.
    aliases: Vec<String>,
    /// The symbol of an enum that replaces unknown symbols.
    default: Option<String>,
}
