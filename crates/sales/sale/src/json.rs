//! The sale as JSON: strict for requests of clients, lenient for records of the log.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::DeserializeSeed;
use serde_path_to_error::{Deserializer as PathDeserializer, Track};

use crate::{Sale, Violation};

/// Parses one JSON object. The violation names the field that is wrong.
pub fn parse_object<'de, S: DeserializeSeed<'de> + Copy>(
    json: &'de [u8],
    seed: S,
) -> Result<S::Value, Violation> {
    must_be_object(json)?;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let parsed = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    parsed.map_err(|_| explain(json, seed))
}

impl Sale {
    /// Parses a client's request: an object with exactly the four fields, whose values are within
    /// the limits.
    pub fn from_request_json(json: &[u8]) -> Result<Self, Violation> {
        let sale = parse_object(json, PhantomData::<Sale>)?;
        sale.validate()?;
        Ok(sale)
    }

    /// Parses the value of a record in the log. Programs written in Go leave out fields whose value
    /// is zero and may add other fields, so missing and unknown fields are accepted. The limits
    /// apply nevertheless.
    pub fn from_record_json(json: &[u8]) -> Result<Self, Violation> {
        let record = parse_object(json, PhantomData::<Record>)?;
        let sale = Sale {
            category: record.categoria,
            product_id: record.producto_id,
            price: record.precio,
            quantity: record.cantidad_vendida,
        };
        sale.validate()?;
        Ok(sale)
    }

    /// Serializes the sale in the wire format, with the fields in the order of the contract.
    pub fn to_json(&self) -> Vec<u8> {
        // This cannot fail: integers, finite numbers and a string are written to memory, and
        // serde_json writes a number that is not finite as null.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Maximum length of the field name and of the reason in a violation, in bytes. Error messages of
/// serde repeat parts of the input and escape them, which can make them longer than the input.
const TEXT_BYTES_MAX: usize = 200;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Record {
    categoria: i32,
    producto_id: String,
    precio: f64,
    cantidad_vendida: i32,
}

/// Without this check, serde would also accept an array that contains the values of the fields.
fn must_be_object(json: &[u8]) -> Result<(), Violation> {
    match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(()),
        _ => Err(Violation::new("body", "must be a JSON object")),
    }
}

/// Parses again, more slowly, to find the field that is not valid. Limits the length of the texts,
/// because they are sent to the client.
fn explain<'de>(json: &'de [u8], seed: impl DeserializeSeed<'de>) -> Violation {
    let Violation { field, reason } = find_fault(json, seed);
    Violation::new(shorten(field), shorten(reason))
}

fn shorten(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

fn find_fault<'de>(json: &'de [u8], seed: impl DeserializeSeed<'de>) -> Violation {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut track = Track::new();
    let error = match seed.deserialize(PathDeserializer::new(&mut reader, &mut track)) {
        Err(error) => error,
        Ok(_) => {
            let reason = reader.end().err().map_or_else(String::new, |e| e.to_string());
            return Violation::new("body", format!("must be one JSON object: {reason}"));
        }
    };
    let path = track.path().to_string();
    let reason = error.to_string();
    if error.is_syntax() || error.is_eof() || error.is_io() {
        return Violation::new("body", format!("must be JSON: {reason}"));
    }
    match (member_of_object(&reason), path.as_str()) {
        (Some(field), ".") => Violation::new(field.to_owned(), reason),
        (Some(field), path) => Violation::new(format!("{path}.{field}"), reason),
        (None, ".") => Violation::new("body", format!("must be a JSON object: {reason}")),
        (None, _) => Violation::new(path, reason),
    }
}

/// The field that serde's message names, if it is missing or duplicated: the path of such an error
/// is that of the object.
fn member_of_object(reason: &str) -> Option<&str> {
    let (before, after) = reason.split_once('`')?;
    matches!(before, "missing field " | "duplicate field ").then(|| after.split('`').next())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"categoria":1,"producto_id":"tv","precio":19.99,"cantidad_vendida":2}"#;

    fn field_of(json: &[u8]) -> String {
        Sale::from_request_json(json).unwrap_err().field
    }

    #[test]
    fn writes_the_wire_form() {
        let sale = Sale::from_request_json(GOOD.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(sale.to_json()).unwrap(), GOOD);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let swap = |from: &str, to: &str| GOOD.replace(from, to).into_bytes();
        for (json, field) in [
            (swap(r#""categoria":1,"#, ""), "categoria"),
            (swap(r#","cantidad_vendida":2"#, ""), "cantidad_vendida"),
            (swap("\"categoria\":1", "\"categoria\":\"1\""), "categoria"),
            (swap("\"categoria\":1", "\"categoria\":1.0"), "categoria"),
            (swap("\"categoria\":1", "\"categoria\":1e999"), "body"),
            (swap("\"categoria\":1", "\"categoria\":3000000000"), "categoria"),
            (swap("\"tv\"", "7"), "producto_id"),
            (swap("\"tv\"", "\"\""), "producto_id"),
            (swap("\"tv\"", "\"a\\u0000b\""), "producto_id"),
            (swap("\"tv\"", &format!("\"{}\"", "x".repeat(129))), "producto_id"),
            (swap("19.99", "-0.01"), "precio"),
            (swap("19.99", "1000000.01"), "precio"),
            (swap("19.99", "\"19.99\""), "precio"),
            (swap("19.99", "null"), "precio"),
            (swap("19.99", "NaN"), "body"),
            (swap(":2}", ":0}"), "cantidad_vendida"),
            (swap(":2}", ":-1}"), "cantidad_vendida"),
            (swap(":2}", ":1000001}"), "cantidad_vendida"),
            (swap(":2}", ":2.5}"), "cantidad_vendida"),
            (swap(":2}", ":2,\"precio\":1}"), "precio"),
            (swap(":2}", ":2,\"color\":1}"), "color"),
            (swap(":2}", ":2} {}"), "body"),
            (br#"[1,"tv",19.99,2]"#.to_vec(), "body"),
            (b"".to_vec(), "body"),
            (b"{".to_vec(), "body"),
            (b"\xff\xfe".to_vec(), "body"),
            (b"{\"categoria\":1,\"producto_id\":\"\xff\"}".to_vec(), "body"),
        ] {
            assert_eq!(field_of(&json), field, "{}", String::from_utf8_lossy(&json));
        }
    }

    #[test]
    fn what_was_sent_is_not_repeated_at_length() {
        let long = "\u{7f}".repeat(10_000);
        for (json, field) in [
            (GOOD.replace("cantidad_vendida", &long), long.get(..TEXT_BYTES_MAX).unwrap()),
            (GOOD.replace("19.99", &format!("\"{long}\"")), "precio"),
        ] {
            let violation = Sale::from_request_json(json.as_bytes()).unwrap_err();
            assert!(violation.field.starts_with(field), "{violation}");
            assert!(violation.field.len() <= TEXT_BYTES_MAX + '…'.len_utf8());
            assert!(violation.reason.len() <= TEXT_BYTES_MAX + '…'.len_utf8(), "{violation}");
        }
    }

    #[test]
    fn a_record_may_leave_out_zeros_and_add_fields() {
        let json = br#"{"producto_id":"tv","cantidad_vendida":2,"extra":[1]}"#;
        let sale = Sale::from_record_json(json).unwrap();
        assert_eq!((sale.category, sale.price), (0, 0.0));
        for json in ["{}", "null", "", "{\"producto_id\":\"x\"}", "{\"precio\":\"1\"}"] {
            assert!(Sale::from_record_json(json.as_bytes()).is_err(), "{json}");
        }
    }

    /// The cases of the table in `docs/guide/migrate.md`.
    #[test]
    fn records_that_the_original_counted_and_this_does_not() {
        let swap = |from: &str, to: &str| GOOD.replace(from, to);
        for json in [
            swap(":2}", ":0}"),
            swap(":2}", ":-1}"),
            swap(",\"cantidad_vendida\":2", ""),
            swap(":2}", ":1000001}"),
            swap("19.99", "-0.01"),
            swap("19.99", "1000000.01"),
            swap("19.99", "null"),
            swap("\"tv\"", "\"\""),
            swap("\"producto_id\":\"tv\",", ""),
            swap("\"tv\"", &format!("\"{}\"", "x".repeat(129))),
            swap("\"tv\"", "\"a\\nb\""),
            swap("\"tv\"", "null"),
            swap("producto_id", "Producto_ID"),
            swap(":2}", ":2,\"precio\":1}"),
            "null".into(),
        ] {
            assert!(Sale::from_record_json(json.as_bytes()).is_err(), "{json}");
        }
        let not_utf8 = [&b"{\"producto_id\":\"\xff\","[..], b"\"cantidad_vendida\":1}"].concat();
        assert!(Sale::from_record_json(&not_utf8).is_err());
        // `Precio` is an unknown field, so the price is missing and counts as zero.
        let sale = Sale::from_record_json(swap("precio", "Precio").as_bytes()).unwrap();
        assert_eq!(sale.price, 0.0);
    }

    proptest! {
        #[test]
        fn every_valid_sale_survives_the_wire(
            category: i32,
            product_id in "[^\\p{Cc}]{1,32}",
            price in 0.0..=crate::PRICE_MAX,
            quantity in 1..=crate::QUANTITY_MAX,
        ) {
            let sale = Sale { category, product_id, price, quantity };
            prop_assert_eq!(Sale::from_request_json(&sale.to_json()), Ok(sale.clone()));
            prop_assert_eq!(Sale::from_record_json(&sale.to_json()), Ok(sale));
        }
    }
}
