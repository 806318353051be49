use serde_json::json;

use super::*;

fn shape(fields: serde_json::Value) -> Result<Shape, String> {
    let fields = serde_json::from_value(fields).map_err(|error| error.to_string())?;
    Shape::compile(fields).map_err(|error| error.to_string())
}

/// An order with an address, an optional note and up to three lines.
fn order() -> Shape {
    let address = json!([{"name": "city", "type": {"string": {"bytes_min": 2, "bytes_max": 9}}}]);
    let line = json!([
        {"name": "product/id", "type": {"i64": {"min": 1}}},
        {"name": "price", "type": {"f64": {"max": 10}}}
    ]);
    shape(json!([
        {"name": "address", "type": {"object": {"fields": address}}},
        {"name": "note", "type": {"string": {"bytes_max": 99, "control_characters": true}},
         "required": false},
        {"name": "gift", "type": "boolean", "required": false},
        {"name": "lines", "type": {"list": {
            "items_min": 1, "items_max": 3, "of": {"object": {"fields": line}}}}}
    ]))
    .unwrap()
}

const ORDER: &str = r#"{"address":{"city":"Quito"},"lines":[{"product/id":7,"price":1.0}]}"#;

fn written(json: &str) -> Result<String, String> {
    let shape = order();
    let object = shape.parse(json.as_bytes()).map_err(|violation| violation.to_string())?;
    Ok(String::from_utf8(object.to_json()).unwrap())
}

#[test]
fn one_form_for_the_same_object() {
    assert_eq!(written(ORDER).as_deref(), Ok(ORDER));
    let other = r#" { "lines" : [ {"price": 10e-1, "product/id": 7} ],
        "address": {"\u0063ity": "Qu\u0069to"} } "#;
    assert_eq!(written(other).as_deref(), Ok(ORDER));
    let more = ORDER.replace(r#","lines""#, r#","note":"a\nb","gift":false,"lines""#);
    assert_eq!(written(&more).as_deref(), Ok(&*more));
}

#[test]
fn a_violation_has_the_path_of_the_value() {
    let two = ORDER.replace("}]", r#"},{"product/id":7,"price":1.0}]"#);
    for (json, expected) in [
        (ORDER.replace("Quito", "Q"), "address.city: must be 2 to 9 bytes long"),
        (ORDER.replace("Quito", "Qui\\tto"), "address.city: must not contain control characters"),
        (ORDER.replace("\"Quito\"", "1"), "address.city: invalid type: integer `1`"),
        (ORDER.replace(r#"{"city":"Quito"}"#, "{}"), "address.city: missing field `city`"),
        (ORDER.replace(r#"{"city":"Quito"}"#, "null"), "address: invalid type: null"),
        (ORDER.replace(r#"{"city""#, r#"{"zip":1,"city""#), "address.zip: unknown field `zip`"),
        (ORDER.replace(":1.0", ":10.5"), "lines[0].price: must be a number of at most 10"),
        (ORDER.replace(":7", ":0"), "lines[0].product/id: must be an integer of at least 1"),
        (ORDER.replace(":7", ":9e9"), "lines[0].product/id: invalid type: floating point"),
        (two.replacen(":7", ":0", 2).replacen(":0", ":7", 1), "lines[1].product/id: must be"),
        (two.replacen(r#","price":1.0}]"#, "}]", 1), "lines[1].price: missing field `price`"),
        (two.replace("1.0}]", r#"1.0,"price":1}]"#), "lines[1].price: duplicate field `price`"),
        (ORDER.replace(r#"{"product/id":7,"price":1.0}"#, ""), "lines: must contain 1 to 3 items"),
        (
            ORDER.replace(r#"{"product/id":7,"price":1.0}"#, &[LINE; 4].join(",")),
            "lines: must contain 1 to 3 items at line",
        ),
        (ORDER.replace(r#","lines""#, r#","gift":null,"lines""#), "gift: invalid type: null"),
    ] {
        let violation = written(&json).unwrap_err();
        assert!(violation.starts_with(expected), "{json}: {violation}");
    }
}

const LINE: &str = r#"{"product/id":7,"price":1.0}"#;

#[test]
fn a_key_is_a_string_or_an_integer_outside_of_lists() {
    let shape = order();
    let place = shape.key_place("/address/city").unwrap();
    assert_eq!(shape.parse(ORDER.as_bytes()).unwrap().key(&place).unwrap(), b"Quito");
    let note = shape.key_place("/note").unwrap();
    assert_eq!(shape.parse(ORDER.as_bytes()).unwrap().key(&note), None);
    for other in ["/gift", "/lines", "/lines/0", "/address", "/address/city/x", "/other", ""] {
        assert_eq!(shape.key_place(other), None, "{other}");
    }
    let escaped = super::shape::Shape::compile(
        serde_json::from_value(json!([{"name": "a/~", "type": {"i32": {}}}])).unwrap(),
    )
    .unwrap();
    let place = escaped.key_place("/a~1~0").unwrap();
    assert_eq!(escaped.parse(br#"{"a/~":-1}"#).unwrap().key(&place).unwrap(), b"-1");
}

#[test]
fn shapes_that_are_refused() {
    let field = |name: &str, kind: serde_json::Value| json!([{"name": name, "type": kind}]);
    let mut deep = json!("boolean");
    for _ in 0..8 {
        deep = json!({"list": {"items_max": 1, "of": deep}});
    }
    let many: Vec<_> = (0..65).map(|n| json!({"name": n.to_string(), "type": "boolean"})).collect();
    for (fields, error) in [
        (json!([]), "fields.*: must be 1 to 64"),
        (json!(many), "fields.*: must be 1 to 64"),
        (field("", json!("boolean")), "fields.``: must have a name"),
        (
            json!([{"name": "a", "type": "boolean"}, {"name": "a", "type": "boolean"}]),
            "fields.`a`: is also the name",
        ),
        (field("a", json!({"i32": {"min": 2, "max": 1}})), "fields.`a`.type: must have a `min`"),
        (
            field("a", json!({"string": {"bytes_min": 2, "bytes_max": 1}})),
            "fields.`a`.type: must have a `bytes_min`",
        ),
        (
            field("a", json!({"list": {"items_max": 10_001, "of": "boolean"}})),
            "fields.`a`.type: must have an `items_max`",
        ),
        (
            field(
                "a",
                json!({"object": {"fields": field("b", json!({"object": {"fields": []}}))}}),
            ),
            "fields.`a`.type.object.fields.`b`.type.object.fields.*: must be 1",
        ),
        (field("a", json!({"string": {}})), "missing field `bytes_max`"),
        (field("a", json!({"i32": {"min": 0.5}})), "invalid type"),
        (field("a", json!("text")), "unknown variant `text`"),
    ] {
        let found = shape(fields).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
    assert!(shape(field("a", deep)).unwrap_err().contains("nested deeper than 8"));
}
