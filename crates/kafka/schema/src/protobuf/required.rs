//! The required fields of proto2, which the decoder does not check.

use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

/// Whether a message type has a required field.
pub(super) fn has_required(pool: &DescriptorPool) -> bool {
    pool.all_messages()
        .any(|message| message.fields().any(|field| field.cardinality() == Cardinality::Required))
}

/// Fails if the message, or one in it, lacks a required field.
pub(super) fn check(message: &DynamicMessage) -> Result<(), String> {
    for field in message.descriptor().fields() {
        if field.cardinality() == Cardinality::Required && !message.has_field(&field) {
            return Err(format!("the required field `{}` is missing", field.name()));
        }
    }
    for (field, value) in message.fields() {
        check_value(value).map_err(|reason| format!("{}: {reason}", field.name()))?;
    }
    Ok(())
}

fn check_value(value: &Value) -> Result<(), String> {
    match value {
        Value::Message(message) => check(message),
        Value::List(values) => values.iter().try_for_each(check_value),
        Value::Map(values) => values.values().try_for_each(check_value),
        _ => Ok(()),
    }
}
