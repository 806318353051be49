//! The fields of an object, compiled.

use super::config::{FieldConfig, ListConfig, TypeConfig};
use super::limits::{Range, TextLimits};
use crate::ConfigError;

/// Maximum number of fields of an object.
const FIELDS_MAX: usize = 64;

/// Maximum length of a field's name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Maximum number of items of a list.
const ITEMS_MAX: usize = 10_000;

/// Maximum depth of objects and lists within each other.
const DEPTH_MAX: usize = 8;

/// The fields of an object, in the order in which they are written.
#[derive(Debug)]
pub struct Shape {
    pub(super) fields: Vec<Field>,
    /// The names, for the error about an unknown field.
    pub(super) names: String,
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub kind: Type,
    pub required: bool,
}

#[derive(Debug)]
pub(super) enum Type {
    Boolean,
    I32(Range<i32>),
    I64(Range<i64>),
    F64(Range<f64>),
    Text(TextLimits),
    Object(Shape),
    List(List),
}

#[derive(Debug)]
pub(super) struct List {
    pub of: Box<Type>,
    pub items_min: usize,
    pub items_max: usize,
}

impl Shape {
    /// Checks and compiles the fields.
    pub fn compile(fields: Vec<FieldConfig>) -> Result<Self, ConfigError> {
        Self::at_depth(fields, 1).map_err(|error| error.within("fields"))
    }

    fn at_depth(configs: Vec<FieldConfig>, depth: usize) -> Result<Self, ConfigError> {
        let number = configs.len();
        if !(1..=FIELDS_MAX).contains(&number) {
            return Err(ConfigError::new("*", format!("must be 1 to {FIELDS_MAX}, not {number}")));
        }
        let mut fields: Vec<Field> = Vec::with_capacity(number);
        for FieldConfig { name, kind, required } in configs {
            let fault = |reason: &str| Err(ConfigError::new(format!("`{name}`"), reason));
            if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
                return fault("must have a name of 1 to 128 bytes");
            }
            if fields.iter().any(|field| field.name == name) {
                return fault("is also the name of another field");
            }
            let kind = Type::compile(kind, depth);
            let kind = kind.map_err(|error| error.within(&format!("`{name}`")))?;
            fields.push(Field { name, kind, required });
        }
        let names = one_of(&fields);
        Ok(Self { fields, names })
    }

    /// The place of the string or integer at a JSON pointer: the index in each of the objects.
    pub fn key_place(&self, pointer: &str) -> Option<Vec<usize>> {
        let mut place = Vec::new();
        let (mut shape, mut kind) = (Some(self), None);
        for part in pointer.split('/').skip(1) {
            let name = part.replace("~1", "/").replace("~0", "~");
            let fields = &shape?.fields;
            let index = fields.iter().position(|field| field.name == name)?;
            kind = fields.get(index).map(|field| &field.kind);
            shape = match kind {
                Some(Type::Object(inner)) => Some(inner),
                _ => None,
            };
            place.push(index);
        }
        matches!(kind, Some(Type::Text(_) | Type::I32(_) | Type::I64(_))).then_some(place)
    }
}

impl Type {
    fn compile(config: TypeConfig, depth: usize) -> Result<Self, ConfigError> {
        let fault = |reason: String| Err(ConfigError::new("type", reason));
        let range = |is_possible: bool, kind| match is_possible {
            true => Ok(kind),
            false => fault("must have a `min` that is not greater than `max`".into()),
        };
        match config {
            TypeConfig::Object(_) | TypeConfig::List(_) if depth == DEPTH_MAX => {
                fault(format!("must not be nested deeper than {DEPTH_MAX} levels"))
            }
            TypeConfig::Boolean => Ok(Self::Boolean),
            TypeConfig::I32(limits) => range(limits.is_possible(), Self::I32(limits)),
            TypeConfig::I64(limits) => range(limits.is_possible(), Self::I64(limits)),
            TypeConfig::F64(limits) => range(limits.is_possible(), Self::F64(limits)),
            TypeConfig::String(limits) if limits.bytes_min > limits.bytes_max => {
                fault("must have a `bytes_min` that is not greater than `bytes_max`".into())
            }
            TypeConfig::String(limits) => Ok(Self::Text(limits)),
            TypeConfig::Object(object) => {
                let shape = Shape::at_depth(object.fields, depth + 1);
                shape.map(Self::Object).map_err(|error| error.within("type.object.fields"))
            }
            TypeConfig::List(ListConfig { of, items_min, items_max }) => {
                if items_min > items_max || items_max > ITEMS_MAX {
                    return fault(format!(
                        "must have an `items_max` of `items_min` to {ITEMS_MAX}"
                    ));
                }
                let of = Self::compile(*of, depth + 1).map_err(|e| e.within("type.list.of"))?;
                Ok(Self::List(List { of: Box::new(of), items_min, items_max }))
            }
        }
    }
}

impl List {
    /// The reason of a list with too few or too many items.
    pub fn reason(&self) -> String {
        format!("must contain {} to {} items", self.items_min, self.items_max)
    }
}

/// The names, as serde lists those of a struct.
fn one_of(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
    match names.as_slice() {
        [_] | [_, _] => names.join(" or "),
        _ => format!("one of {}", names.join(", ")),
    }
}
