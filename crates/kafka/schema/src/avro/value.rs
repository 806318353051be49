//! Converts a value to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;

use super::{AvroSchema, Node, Part};

/// How deep records, arrays, maps and unions may be nested in a value.
const DEPTH_MAX: usize = 64;
/// The largest decimal.
const DECIMAL_BYTES_MAX: usize = 16;

impl AvroSchema {
    /// Converts a value to JSON of at most `bytes_max` bytes. A union becomes its value, an enum
    /// its symbol, a decimal a string with a decimal number, bytes and fixed a string in base64, and
    /// a number that is not finite null. The error contains the names of the fields that lead to
    /// the failure.
    pub fn decode(&self, payload: &[u8], bytes_max: usize) -> Result<Bytes, String> {
        let mut input = Input(payload);
        let mut output = Output { json: Vec::new(), dropped: 0, bytes_max };
        self.convert(self.root, DEPTH_MAX, &mut input, &mut output)?;
        match input.0.len() {
            // Without the unused capacity, which the batch would keep.
            0 => Ok(output.json.into_boxed_slice().into()),
            rest => Err(format!("{rest} more bytes follow the value")),
        }
    }

    /// Converts a value of one type. `depth` is the number of levels that may follow.
    fn convert(
        &self,
        node: usize,
        depth: usize,
        input: &mut Input<'_>,
        output: &mut Output,
    ) -> Result<(), String> {
        let depth = depth.checked_sub(1).ok_or("the value is nested too deep")?;
        let Some(node) = self.nodes.get(node) else { return Err("the type is missing".into()) };
        match node {
            Node::Null => output.text("null"),
            Node::Boolean => match input.take(1)? {
                [0] => output.text("false"),
                [1] => output.text("true"),
                _ => Err("a boolean is neither 0 nor 1".into()),
            },
            Node::Int => output.value(&input.int()?),
            Node::Long => output.value(&input.long()?),
            Node::Float => output.value(&f32::from_le_bytes(input.array()?)),
            Node::Double => output.value(&f64::from_le_bytes(input.array()?)),
            Node::LongAsFloat => output.value(&(input.long()? as f32)),
            Node::LongAsDouble => output.value(&(input.long()? as f64)),
            Node::FloatAsDouble => output.value(&f64::from(f32::from_le_bytes(input.array()?))),
            Node::Bytes => output.value(&STANDARD.encode(input.bytes()?)),
            Node::String => output.value(input.string()?),
            Node::Fixed(size) => output.value(&STANDARD.encode(input.take(*size)?)),
            Node::Decimal { bytes, scale } => {
                let bytes = match self.nodes.get(*bytes) {
                    Some(Node::Fixed(size)) => input.take(*size)?,
                    _ => input.bytes()?,
                };
                output.value(&decimal(bytes, *scale)?)
            }
            Node::Enum(symbols) => match symbols.get(input.index()?) {
                Some(symbol) => output.value(symbol),
                None => Err("an enum has no such symbol".into()),
            },
            Node::Symbols(symbols) => match symbols.get(input.index()?) {
                Some(symbol) => self.convert(*symbol, depth, input, output),
                None => Err("an enum has no such symbol".into()),
            },
            Node::Constant(json) => output.text(json),
            Node::Misfit(reason) => Err(reason.clone()),
            Node::Union(variants) => match variants.get(input.index()?) {
                Some(variant) => self.convert(*variant, depth, input, output),
                None => Err("a union has no such type".into()),
            },
            Node::Array(items) => {
                output.text("[")?;
                input.blocks(|input, is_first| {
                    if !is_first {
                        output.text(",")?;
                    }
                    self.convert(*items, depth, input, output)
                })?;
                output.text("]")
            }
            Node::Map(values) => {
                output.text("{")?;
                input.blocks(|input, is_first| {
                    if !is_first {
                        output.text(",")?;
                    }
                    output.value(input.string()?)?;
                    output.text(":")?;
                    self.convert(*values, depth, input, output)
                })?;
                output.text("}")
            }
            Node::Record(fields) => {
                output.text("{")?;
                for (number, field) in fields.iter().enumerate() {
                    if number > 0 {
                        output.text(",")?;
                    }
                    output.value(&field.name)?;
                    output.text(":")?;
                    self.convert(field.node, depth, input, output)
                        .map_err(|reason| format!("{}: {reason}", field.name))?;
                }
                output.text("}")
            }
            Node::Projection(parts) => {
                output.text("{")?;
                let mut is_first = true;
                for part in parts {
                    let (name, node) = match part {
                        Part::Field { name, node } => (name, node),
                        Part::Skipped(node) => {
                            let start = output.json.len();
                            self.convert(*node, depth, input, output)?;
                            output.drop_from(start);
                            continue;
                        }
                    };
                    if !is_first {
                        output.text(",")?;
                    }
                    is_first = false;
                    output.value(name)?;
                    output.text(":")?;
                    self.convert(*node, depth, input, output)
                        .map_err(|reason| format!("{name}: {reason}"))?;
                }
                output.text("}")
            }
        }
    }
}

/// The bytes that were not read yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("the value ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], String> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("the value ends early")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn long(&mut self) -> Result<i64, String> {
        let mut zigzag = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                break;
            }
            zigzag |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
            }
        }
        Err("a number has more than 64 bits".into())
    }

    fn int(&mut self) -> Result<i32, String> {
        i32::try_from(self.long()?).map_err(|_| "an int has more than 32 bits".into())
    }

    /// A length, or the number of a symbol or a type. A negative one is as invalid as one that is
    /// too large.
    fn index(&mut self) -> Result<usize, String> {
        self.long().map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = self.index()?;
        self.take(length)
    }

    fn string(&mut self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a string is not UTF-8".into())
    }

    /// Reads the elements of an array or a map. Each call of `element` must write at least one
    /// byte of output: elements may take no input, so only the output limits their number.
    fn blocks(
        &mut self,
        mut element: impl FnMut(&mut Self, bool) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut is_first = true;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // The size of the block in bytes.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                element(self, is_first)?;
                is_first = false;
            }
        }
    }
}

/// The JSON that was written.
struct Output {
    json: Vec<u8>,
    /// The size of the JSON that was dropped. It counts, so that the time is limited, too.
    dropped: usize,
    bytes_max: usize,
}

impl Output {
    fn text(&mut self, text: &str) -> Result<(), String> {
        self.json.extend_from_slice(text.as_bytes());
        self.check()
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), String> {
        serde_json::to_writer(&mut self.json, value).map_err(|error| error.to_string())?;
        self.check()
    }

    /// Drops the end of the JSON.
    fn drop_from(&mut self, start: usize) {
        self.dropped += self.json.len() - start;
        self.json.truncate(start);
    }

    /// Fails if the output is too large. A single text is at most six times as long as in the input.
    fn check(&self) -> Result<(), String> {
        if self.json.len() + self.dropped > self.bytes_max {
            return Err(format!("the JSON exceeds {} bytes", self.bytes_max));
        }
        Ok(())
    }
}

/// A decimal number: a signed integer in big-endian order, with `scale` digits after the point.
pub(super) fn decimal(bytes: &[u8], scale: usize) -> Result<String, String> {
    if bytes.len() > DECIMAL_BYTES_MAX {
        return Err(format!("a decimal has more than {DECIMAL_BYTES_MAX} bytes"));
    }
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if is_negative { -1_i128 } else { 0 };
    let unscaled = bytes.iter().fold(start, |number, byte| number << 8 | i128::from(*byte));
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{fraction}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALE: &str = r#"{"type":"record","name":"Sale","fields":[
        {"name":"id","type":"string"},
        {"name":"count","type":"int"},
        {"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["WEB","SHOP"]}},
        {"name":"note","type":["null","string"]},
        {"name":"tags","type":{"type":"array","items":"string"}},
        {"name":"sizes","type":{"type":"map","values":"double"}},
        {"name":"ratio","type":"float"},
        {"name":"is_new","type":"boolean"},
        {"name":"raw","type":{"type":"fixed","name":"Raw","size":2}}]}"#;

    fn decode(schema: &str, bytes: &[u8]) -> Result<String, String> {
        let json = AvroSchema::parse(schema, &[]).unwrap().decode(bytes, 10_000)?;
        Ok(String::from_utf8(json.to_vec()).unwrap())
    }

    fn sale() -> Vec<u8> {
        [
            &b"\x08tv-1"[..],                   // id
            &[3],                               // count: -2
            &[0x80, 0x01],                      // time: 64
            &[4, 0x04, 0xd2],                   // price: 1234
            &[2],                               // kind: the second symbol
            b"\x02\x04h\"",                     // note: the second type, two bytes
            b"\x01\x04\x02a\x02\x02b\0", // tags: a block with its size, a block without, the end
            b"\x02\x02x\0\0\0\0\0\0\xf8\x3f\0", // sizes: one element, the end
            &0.1_f32.to_le_bytes(),
            &[1],
            &[0xff, 0],
        ]
        .concat()
    }

    #[test]
    fn each_type_has_its_form_in_json() {
        let expected = concat!(
            r#"{"id":"tv-1","count":-2,"time":64,"price":"12.34","kind":"SHOP","note":"h\"","#,
            r#""tags":["a","b"],"sizes":{"x":1.5},"ratio":0.1,"is_new":true,"raw":"/wA="}"#
        );
        let mut bytes = sale();
        assert_eq!(decode(SALE, &bytes).unwrap(), expected);
        bytes.push(0);
        assert_eq!(decode(SALE, &bytes).unwrap_err(), "1 more bytes follow the value");
        bytes.truncate(bytes.len() - 2);
        assert_eq!(decode(SALE, &bytes).unwrap_err(), "raw: the value ends early");
    }

    #[test]
    fn numbers_are_exact_or_refused() {
        for (bytes, scale, expected) in [
            (&[][..], 0, "0"),
            (&[], 2, "0.00"),
            (&[5], 2, "0.05"),
            (&[0xfb], 1, "-0.5"),
            (&[0xff, 0x38], 2, "-2.00"),
            (&[0x7f; 16], 0, "169473963133173273960190490760135540607"),
        ] {
            assert_eq!(decimal(bytes, scale).unwrap(), expected, "{bytes:?}");
        }
        assert!(decimal(&[0; 17], 0).is_err());
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(decode(r#""long""#, &longest).unwrap(), i64::MIN.to_string());
        assert!(decode(r#""int""#, &longest).is_err());
        assert!(decode(r#""long""#, &[0xff; 10]).is_err());
        assert_eq!(decode(r#""double""#, &f64::NAN.to_le_bytes()).unwrap(), "null");
    }

    #[test]
    fn depth_number_and_size_are_limited() {
        let list = r#"{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}"#;
        assert_eq!(decode(list, b"\x02\x02\0").unwrap(), r#"{"n":{"n":{"n":null}}}"#);
        assert!(decode(list, &vec![2; 1_000_000]).unwrap_err().ends_with("nested too deep"));
        let itself = r#"{"type":"record","name":"L","fields":[{"name":"n","type":"L"}]}"#;
        assert!(decode(itself, b"").unwrap_err().ends_with("nested too deep"));
        let nulls = r#"{"type":"array","items":"null"}"#;
        let endless = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0];
        assert_eq!(decode(nulls, &endless).unwrap_err(), "the JSON exceeds 10000 bytes");
        assert_eq!(decode(r#""bytes""#, &endless).unwrap_err(), "the value ends early");
    }

    proptest! {
        #[test]
        fn any_bytes_are_converted_to_json_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            for schema in [SALE, r#"{"type":"map","values":["null","string","double"]}"#] {
                if let Ok(json) = decode(schema, &bytes) {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
                }
            }
        }

        #[test]
        fn decimals_have_the_value_of_their_bytes(number: i64) {
            let decimal = decimal(&number.to_be_bytes(), 0).unwrap();
            prop_assert_eq!(decimal, number.to_string());
        }
    }
}
