//! What the decoder does not check: the required fields of proto2, and the messages in
//! `google.protobuf.Any`, which are decoded when the JSON is written.

use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

use super::items::Items;
use super::output::DEPTH_MAX;

const ANY: &str = "google.protobuf.Any";
const TOO_DEEP: &str = "the value is nested too deep";
/// How deep messages may be nested in `google.protobuf.Any`. Each level is decoded from a copy of its
/// bytes.
const ANY_DEPTH_MAX: usize = 8;

/// Whether a message of these types needs checks.
pub(super) fn are_needed(pool: &DescriptorPool) -> bool {
    pool.all_messages().any(|message| {
        let mut fields = message.fields();
        message.full_name() == ANY
            || fields.any(|field| field.cardinality() == Cardinality::Required)
    })
}

/// Fails if the message, or one in it, lacks a required field, or if messages in
/// `google.protobuf.Any` are nested too deep or have too many items.
pub(super) fn check(message: &DynamicMessage, items: &mut Items) -> Result<(), String> {
    check_message(message, items, Levels { messages: DEPTH_MAX, any: ANY_DEPTH_MAX })
}

/// How many levels may follow.
#[derive(Clone, Copy)]
struct Levels {
    messages: usize,
    /// Of messages in `google.protobuf.Any`.
    any: usize,
}

fn check_message(
    message: &DynamicMessage,
    items: &mut Items,
    levels: Levels,
) -> Result<(), String> {
    let messages = levels.messages.checked_sub(1).ok_or(TOO_DEEP)?;
    let levels = Levels { messages, ..levels };
    let descriptor = message.descriptor();
    for field in descriptor.fields() {
        if field.cardinality() == Cardinality::Required && !message.has_field(&field) {
            return Err(format!("the required field `{}` is missing", field.name()));
        }
    }
    if descriptor.full_name() == ANY {
        return check_any(message, items, levels);
    }
    for (field, value) in message.fields() {
        check_value(value, items, levels)
            .map_err(|reason| format!("{}: {reason}", field.name()))?;
    }
    for (field, value) in message.extensions() {
        check_value(value, items, levels)
            .map_err(|reason| format!("{}: {reason}", field.name()))?;
    }
    Ok(())
}

fn check_value(value: &Value, items: &mut Items, levels: Levels) -> Result<(), String> {
    match value {
        Value::Message(message) => check_message(message, items, levels),
        Value::List(values) => {
            values.iter().try_for_each(|value| check_value(value, items, levels))
        }
        Value::Map(values) => {
            values.values().try_for_each(|value| check_value(value, items, levels))
        }
        _ => Ok(()),
    }
}

fn check_any(any: &DynamicMessage, items: &mut Items, levels: Levels) -> Result<(), String> {
    let levels = Levels { any: levels.any.checked_sub(1).ok_or(TOO_DEEP)?, ..levels };
    let (url, encoded) = (any.get_field_by_number(1), any.get_field_by_number(2));
    let name = url.as_deref().and_then(Value::as_str).and_then(|url| url.rsplit_once('/'));
    let any = any.descriptor();
    let message = name.and_then(|(_, name)| any.parent_pool().get_message_by_name(name));
    // Without a known type, the JSON cannot be written, and the reason is given there.
    let Some(message) = message else { return Ok(()) };
    let Some(encoded) = encoded.as_deref().and_then(Value::as_bytes) else { return Ok(()) };
    items.count(&message, encoded)?;
    let message = DynamicMessage::decode(message, encoded.clone());
    check_message(&message.map_err(|error| error.to_string())?, items, levels)
}
