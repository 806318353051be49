//! Parses JSON with serde, and accepts only an object for a struct.
//!
//! `serde_json` also accepts an array with the values of the fields in their order, so `["tv",1]` is an
//! `Order { product, quantity }` for it. Here this is an error, at any depth and in the variants of
//! enums. Tuples and tuple structs are arrays, as usual.
//!
//! Serde buffers what it parses for an enum that is `untagged` or has a `tag`, and for a field that is
//! flattened (`#[serde(flatten)]`). Within these, arrays are still accepted for structs.
//!
//! ```
//! #[derive(Debug, serde::Deserialize)]
//! struct Order {
//!     product: String,
//!     quantity: i64,
//! }
//!
//! let order: Order = strict_json::from_str(r#"{"product":"tv","quantity":1}"#).unwrap();
//! assert_eq!((&*order.product, order.quantity), ("tv", 1));
//! assert!(strict_json::from_str::<Order>(r#"["tv",1]"#).is_err());
//! ```

mod strict;

use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::de::Read;

pub use crate::strict::Strict;

/// Parses one JSON value.
pub fn from_slice<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    parse(Deserializer::from_slice(json))
}

/// Parses one JSON value.
pub fn from_str<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    parse(Deserializer::from_str(json))
}

fn parse<'a, T: Deserialize<'a>>(mut reader: Deserializer<impl Read<'a>>) -> serde_json::Result<T> {
    let value = T::deserialize(Strict(&mut reader))?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Order {
        product: String,
        quantity: i64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point(i64, i64);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Id(Order);

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Event {
        Opened,
        Ordered(Order),
        Moved(i64, i64),
        Paid { cents: u64, order: Order },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "kind", content = "order", rename_all = "snake_case")]
    enum Tagged {
        Sold(Order),
    }

    fn is_refused<T: for<'a> Deserialize<'a> + Debug>(json: &str) {
        // The case is one that serde_json accepts.
        serde_json::from_str::<T>(json).unwrap();
        let error = from_str::<T>(json).unwrap_err().to_string();
        assert!(error.starts_with("invalid type: sequence, expected "), "{json}: {error}");
        assert!(error.contains("at line 1 column"), "{json}: {error}");
    }

    #[test]
    fn arrays_are_refused_for_structs_at_any_depth() {
        is_refused::<Order>(r#"["tv",1]"#);
        is_refused::<Option<Order>>(r#"["tv",1]"#);
        is_refused::<Box<Order>>(r#"["tv",1]"#);
        is_refused::<Id>(r#"["tv",1]"#);
        is_refused::<Vec<Order>>(r#"[{"product":"tv","quantity":1},["tv",1]]"#);
        is_refused::<(i64, Order)>(r#"[1,["tv",1]]"#);
        is_refused::<BTreeMap<String, Order>>(r#"{"a":["tv",1]}"#);
        is_refused::<Event>(r#"{"ordered":["tv",1]}"#);
        is_refused::<Event>(r#"{"paid":[5,{"product":"tv","quantity":1}]}"#);
        is_refused::<Event>(r#"{"paid":{"cents":5,"order":["tv",1]}}"#);
        is_refused::<Tagged>(r#"["sold",{"product":"tv","quantity":1}]"#);
        is_refused::<Tagged>(r#"{"kind":"sold","order":["tv",1]}"#);
    }

    #[test]
    fn everything_else_is_parsed_as_by_serde_json() {
        fn is_parsed<T: for<'a> Deserialize<'a> + Debug + PartialEq>(json: &str) {
            let expected: T = serde_json::from_str(json).unwrap();
            assert_eq!(from_str::<T>(json).unwrap(), expected, "{json}");
            assert_eq!(from_slice::<T>(json.as_bytes()).unwrap(), expected, "{json}");
        }
        let order = r#"{"product":"tv","quantity":1}"#;
        is_parsed::<Order>(order);
        is_parsed::<Id>(order);
        is_parsed::<Option<Order>>("null");
        is_parsed::<Point>("[1,2]");
        is_parsed::<(i64, String, Option<bool>)>(r#"[1,"a",true]"#);
        is_parsed::<BTreeMap<u32, Vec<Point>>>(r#"{"1":[[1,2]],"2":[]}"#);
        is_parsed::<Event>(r#""opened""#);
        is_parsed::<Event>(&format!(r#"{{"ordered":{order}}}"#));
        is_parsed::<Event>(r#"{"moved":[1,2]}"#);
        is_parsed::<Event>(&format!(r#"{{"paid":{{"order":{order},"cents":1}}}}"#));
        is_parsed::<Tagged>(&format!(r#"{{"order":{order},"kind":"sold"}}"#));
        is_parsed::<(i8, u8, i128, u128, f32, f64, char)>("[-1,1,-2,2,0.5,1e300,\"x\"]");
        is_parsed::<()>("null");
        is_parsed::<Value>(r#"{"a":[1,-2,0.5,null,true,"t",18446744073709551615,{}]}"#);
        assert_eq!(from_str::<&str>(r#""borrowed""#).unwrap(), "borrowed");
        assert_eq!(from_str::<&RawValue>("[1, 2]").unwrap().get(), "[1, 2]");
    }

    #[test]
    fn the_rest_of_the_text_and_the_depth_are_checked() {
        let order = r#"{"product":"tv","quantity":1}"#;
        assert!(from_str::<Order>(&format!("{order} {{}}")).is_err());
        assert!(from_str::<Value>(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn the_path_of_a_fault_can_be_tracked() {
        let json = r#"[{"product":"tv","quantity":1},["tv",1]]"#;
        let mut reader = Deserializer::from_str(json);
        let tracked = serde_path_to_error::deserialize::<_, Vec<Order>>(Strict(&mut reader));
        assert_eq!(tracked.unwrap_err().path().to_string(), "[1]");
    }
}
