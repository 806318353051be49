//! The configuration of the fields.

use serde::Deserialize;

use super::limits::{Range, TextLimits};

/// A field of an object.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldConfig {
    /// The name in JSON.
    pub name: String,
    /// The type of the value, and its limits.
    #[serde(rename = "type")]
    pub kind: TypeConfig,
    /// Whether an object without the field is refused. A field that is missing is not written.
    #[serde(default = "yes")]
    pub required: bool,
}

/// The type of a value, and its limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeConfig {
    /// `true` or `false`.
    Boolean,
    /// An integer of 32 bits.
    I32(Range<i32>),
    /// An integer of 64 bits.
    I64(Range<i64>),
    /// A number, as a double.
    F64(Range<f64>),
    /// A string.
    String(TextLimits),
    /// An object.
    Object(ObjectConfig),
    /// A list.
    List(ListConfig),
}

/// The type of an object.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectConfig {
    /// The fields, in the order in which they are written.
    pub fields: Vec<FieldConfig>,
}

/// The type of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListConfig {
    /// The type of the items.
    pub of: Box<TypeConfig>,
    /// Minimum number of items.
    #[serde(default)]
    pub items_min: usize,
    /// Maximum number of items.
    pub items_max: usize,
}

fn yes() -> bool {
    true
}
