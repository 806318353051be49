//! A rendered Kubernetes object.

use std::fmt;

use serde_json::Value;

/// A Kubernetes object.
#[derive(Debug, Clone)]
pub struct Object(pub Value);

/// An error, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// `Kind/name` of the object.
    pub object: String,
    /// The path of the field, such as `spec.replicas`; empty for the object as a whole.
    pub place: String,
    /// The error.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => write!(f, "{}: {}", self.object, self.message),
            place => write!(f, "{}: {place}: {}", self.object, self.message),
        }
    }
}

static NULL: Value = Value::Null;

/// The value at a path such as `spec.template.containers.0.name`; null if there is none.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, step| {
        let found = match step.parse::<usize>() {
            Ok(index) if value.is_array() => value.get(index),
            _ => value.get(step),
        };
        found.unwrap_or(&NULL)
    })
}

/// The string at this path; empty if there is none.
pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The list at this path; empty if there is none.
pub fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The entries of the mapping at this path; empty if there is none.
pub fn entries<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    at(value, path).as_object().into_iter().flatten()
}

impl Object {
    /// The object's kind.
    pub fn kind(&self) -> &str {
        self.text("kind")
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.text("metadata.name")
    }

    /// `Kind/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind(), self.name())
    }

    /// The value at a path; null if there is none.
    pub fn at(&self, path: &str) -> &Value {
        at(&self.0, path)
    }

    /// The string at a path; empty if there is none.
    pub fn text(&self, path: &str) -> &str {
        text(&self.0, path)
    }

    /// The list at a path; empty if there is none.
    pub fn list(&self, path: &str) -> &[Value] {
        list(&self.0, path)
    }

    /// An error at this path of the object.
    pub fn finding(&self, place: &str, message: impl Into<String>) -> Finding {
        Finding { object: self.id(), place: place.into(), message: message.into() }
    }
}

/// The objects of one kind.
pub fn of_kind<'a>(objects: &'a [Object], kind: &'a str) -> impl Iterator<Item = &'a Object> {
    objects.iter().filter(move |object| object.kind() == kind)
}

/// The object of this kind and name.
pub fn find<'a>(objects: &'a [Object], kind: &str, name: &str) -> Option<&'a Object> {
    objects.iter().find(|object| object.kind() == kind && object.name() == name)
}

/// Calls `visit` with every value in `value` and its path.
pub fn walk(value: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, value);
    let below = |step: &str| match path {
        "" => step.to_owned(),
        path => format!("{path}.{step}"),
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                walk(value, &below(key), visit);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                walk(value, &below(&index.to_string()), visit);
            }
        }
        _ => {}
    }
}
