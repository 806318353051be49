//! Values in Protobuf, converted to JSON.

mod checks;
mod items;
mod message_index;
mod nesting;
mod output;

use bytes::Bytes;
use prost_reflect::{DynamicMessage, FileDescriptor, SerializeOptions};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use self::items::Items;
use self::output::Output;
use crate::references::{Bundle, Import};

/// The name of the file with the schema itself, followed by as many underscores as are needed for it
/// to differ from the names of the files that it imports.
const FILE: &str = "schema";

/// The form of the JSON, where it differs from the canonical one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct JsonForm {
    /// The field names of the schema instead of those in camel case.
    pub field_names: bool,
    /// With the fields without presence that have their default.
    pub defaults: bool,
    /// The numbers of enums instead of their names.
    pub enum_numbers: bool,
    /// Integers of 64 bits as numbers instead of strings.
    pub long_numbers: bool,
}

/// A compiled Protobuf schema.
pub(crate) struct ProtobufSchema {
    file: FileDescriptor,
    options: SerializeOptions,
    /// Whether a decoded message is checked.
    is_checked: bool,
}

impl ProtobufSchema {
    /// Compiles a schema. It may import the files of the bundle and those of `google/protobuf`. The
    /// error says why it cannot be used.
    pub fn new(Bundle { definition, imports }: &Bundle, form: JsonForm) -> Result<Self, String> {
        let mut files = imports.clone();
        let mut name = FILE.to_owned();
        while files.iter().any(|file| file.name == name) {
            name.push('_');
        }
        files.push(Import { name: name.clone(), schema: definition.schema.clone() });
        for Import { name, schema } in &files {
            nesting::check(schema).map_err(|reason| format!("`{name}` {reason}"))?;
        }
        let mut resolver = ChainFileResolver::new();
        resolver.add(Files(files));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.open_file(&name).map_err(|error| error.to_string())?;
        let pool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(&name).ok_or("it was not compiled")?;
        let options = SerializeOptions::new()
            .use_proto_field_name(form.field_names)
            .skip_default_fields(!form.defaults)
            .use_enum_numbers(form.enum_numbers)
            .stringify_64_bit_integers(!form.long_numbers);
        Ok(Self { file, options, is_checked: checks::are_needed(&pool) })
    }

    /// Converts a value, which begins with the indexes of its message type, to JSON of at most
    /// `bytes_max` bytes.
    pub fn decode(&self, payload: &[u8], bytes_max: usize) -> Result<Bytes, String> {
        // The message is created in memory as a whole.
        if payload.len() > bytes_max {
            return Err(format!("the value exceeds {bytes_max} bytes"));
        }
        let (descriptor, encoded) = message_index::split(&self.file, payload)?;
        let mut items = Items::new();
        items.count(&descriptor, encoded)?;
        let message = DynamicMessage::decode(descriptor, encoded);
        let message = message.map_err(|error| error.to_string())?;
        if self.is_checked {
            checks::check(&message, &mut items)?;
        }
        let mut serializer = serde_json::Serializer::new(Output::new(bytes_max));
        let written = message.serialize_with_options(&mut serializer, &self.options);
        written.map_err(|error| error.to_string())?;
        Ok(serializer.into_inner().into_json())
    }
}

/// The files of a schema by their names.
struct Files(Vec<Import>);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|file| file.name == name) {
            Some(Import { name, schema }) => File::from_source(name, schema),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::Definition;

    const SALE: &str = r#"syntax = "proto3";
        package shop;
        import "money.proto";
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/any.proto";
        enum Kind { WEB = 0; SHOP = 1; }
        message Refund { message Reason { string text = 1; } }
        message Sale {
          string producto_id = 1;
          int64 count = 2;
          Kind kind = 3;
          money.Money price = 4;
          google.protobuf.Timestamp time = 5;
          google.protobuf.Any any = 6;
          Sale next = 7;
          repeated bool flags = 8;
        }"#;
    const MONEY: &str = r#"syntax = "proto3"; package money; message Money { double of = 1; }"#;

    fn schema(text: &str, form: JsonForm) -> Result<ProtobufSchema, String> {
        with_import("money.proto", text, form)
    }

    /// A schema that may import [`MONEY`] by this name.
    fn with_import(name: &str, text: &str, form: JsonForm) -> Result<ProtobufSchema, String> {
        let definition =
            Definition { schema: text.into(), schema_type: None, references: Vec::new() };
        let imports = vec![Import { name: name.into(), schema: MONEY.into() }];
        ProtobufSchema::new(&Bundle { definition, imports }, form)
    }

    fn decode(payload: &[u8], form: JsonForm) -> Result<String, String> {
        let json = schema(SALE, form).unwrap().decode(payload, 10_000)?;
        Ok(String::from_utf8(json.to_vec()).unwrap())
    }

    /// A sale, after the index of its message type.
    fn sale(fields: &[u8]) -> Vec<u8> {
        [b"\x02\x02", fields].concat()
    }

    const FIELDS: &[u8] =
        b"\x0a\x04tv-1\x10\x03\x18\x01\x22\x09\x09\0\0\0\0\0\0\xf8\x3f\x2a\x02\x08\x01";

    #[test]
    fn a_value_becomes_canonical_json_or_the_form_of_the_settings() {
        let canonical = r#"{"productoId":"tv-1","count":"3","kind":"SHOP","price":{"of":1.5},"time":"1970-01-01T00:00:01Z"}"#;
        assert_eq!(decode(&sale(FIELDS), JsonForm::default()).unwrap(), canonical);
        let form =
            JsonForm { field_names: true, enum_numbers: true, long_numbers: true, defaults: true };
        let other = r#"{"producto_id":"tv-1","count":3,"kind":1,"price":{"of":1.5},"time":"1970-01-01T00:00:01Z","flags":[]}"#;
        assert_eq!(decode(&sale(FIELDS), form).unwrap(), other);
        let refund = decode(b"\x04\0\0\x0a\x01x", JsonForm::default()).unwrap();
        assert_eq!(refund, r#"{"text":"x"}"#);
        assert_eq!(decode(b"\0", JsonForm::default()).unwrap(), "{}", "the first message type");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        for (payload, reason) in [
            (&b""[..], "the value ends early"),
            (b"\x02\x08", "has no message type with the indexes [4]"),
            (&sale(b"\x0a\x04tv"), "underflow"),
            (&sale(b"\x0a\x01\xff"), "UTF-8"),
            (&sale(b"\x32\x05\x0a\x03t/x"), "not found"),
        ] {
            let found = decode(payload, JsonForm::default()).unwrap_err();
            assert!(found.contains(reason), "{reason} is not in: {found}");
        }
        for (text, reason) in [
            ("message A {", "end of file"),
            (r#"import "other.proto";"#, "other.proto"),
            ("message A { Missing a = 1; }", "Missing"),
        ] {
            let text = format!(r#"syntax = "proto3"; {text}"#);
            let found = schema(&text, JsonForm::default()).err().unwrap();
            assert!(found.contains(reason), "{reason} is not in: {found}");
        }
    }

    #[test]
    fn a_file_of_any_name_can_be_imported() {
        let text = r#"syntax = "proto3"; import "schema"; /***/ message A { money.Money b = 1; }"#;
        let schema = with_import(FILE, text, JsonForm::default()).unwrap();
        assert_eq!(schema.decode(b"\0\x0a\0", 100).unwrap(), r#"{"b":{}}"#);
    }

    #[test]
    fn required_fields_are_checked() {
        let text = r#"syntax = "proto2"; message A { repeated B b = 1; }
            message B { required int32 c = 1; }"#;
        let schema = schema(text, JsonForm::default()).unwrap();
        assert_eq!(schema.decode(b"\0\x0a\x02\x08\0", 100).unwrap(), r#"{"b":[{"c":0}]}"#);
        let reason = schema.decode(b"\0\x0a\0", 100).unwrap_err();
        assert_eq!(reason, "b: the required field `c` is missing");
        let text = r#"syntax = "proto2"; import "google/protobuf/any.proto";
            message A { optional google.protobuf.Any any = 1; }
            message B { required int32 c = 1; }"#;
        let schema = self::schema(text, JsonForm::default()).unwrap();
        let any = schema.decode(b"\0\x0a\x09\x0a\x03t/B\x12\x02\x08\0", 100).unwrap();
        assert_eq!(any, r#"{"any":{"@type":"t/B","c":0}}"#);
        let reason = schema.decode(b"\0\x0a\x05\x0a\x03t/B", 100).unwrap_err();
        assert_eq!(reason, "any: the required field `c` is missing");
    }

    #[test]
    fn the_number_of_items_is_limited_also_in_any() {
        let field = |tag: u8, content: &[u8]| {
            let mut field = vec![tag];
            prost::encoding::encode_varint(content.len() as u64, &mut field);
            [&field, content].concat()
        };
        let many = b"\x3a\0".repeat(91_000);
        let any = [&b"\x0a\x0bt/shop.Sale"[..], &field(0x12, &many)].concat();
        let schema = schema(SALE, JsonForm::default()).unwrap();
        for (fields, expected) in [
            (&many, "the value has more than 1000000 items"),
            (&field(0x32, &any), "any: the value has more than 1000000 items"),
        ] {
            assert_eq!(schema.decode(&sale(fields), 1_000_000).unwrap_err(), expected);
        }
    }

    #[test]
    fn depth_and_size_are_limited() {
        let nested = |tag: u8, levels: usize, wrap: &dyn Fn(Vec<u8>) -> Vec<u8>| {
            (0..levels).fold(Vec::new(), |inner, _| {
                let inner = wrap(inner);
                let mut field = vec![tag];
                prost::encoding::encode_varint(inner.len() as u64, &mut field);
                [field, inner].concat()
            })
        };
        let deep = sale(&nested(0x3a, 1_000, &|inner| inner));
        assert!(decode(&deep, JsonForm::default()).unwrap_err().contains("recursion"));
        // A larger one is refused before it is decoded.
        let larger = sale(&nested(0x3a, 6_000, &|inner| inner));
        let schema = schema(SALE, JsonForm::default()).unwrap();
        assert!(schema.decode(&larger, 50_000).unwrap_err().contains("nested too deep"));
        // Each level is decoded separately from the bytes of the level that encloses it.
        let any = |value: Vec<u8>| {
            let url = b"t/shop.Sale";
            let mut any = [&[0x0a, url.len() as u8][..], url, &[0x12]].concat();
            prost::encoding::encode_varint(value.len() as u64, &mut any);
            [any, value].concat()
        };
        let deep = sale(&nested(0x32, 300, &any));
        let reason = decode(&deep, JsonForm::default()).unwrap_err();
        assert!(reason.contains("nested too deep"), "{reason}");
        assert!(decode(&sale(&nested(0x32, 8, &any)), JsonForm::default()).is_ok());
        let reason = decode(&sale(&nested(0x32, 9, &any)), JsonForm::default()).unwrap_err();
        assert!(reason.contains("nested too deep"), "{reason}");
        let many = sale(&[&b"\x42\xd0\x0f"[..], &[1; 2_000]].concat());
        assert!(decode(&many, JsonForm::default()).is_err(), "each flag has at least 5 bytes");
        assert!(decode(&sale(&[0; 10_000]), JsonForm::default()).unwrap_err().contains("exceeds"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_converted_to_json_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let schema = schema(SALE, JsonForm::default()).unwrap();
            for payload in [bytes.clone(), sale(&bytes)] {
                if let Ok(json) = schema.decode(&payload, 10_000) {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
                }
            }
        }
    }
}
