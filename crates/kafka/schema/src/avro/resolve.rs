//! Resolves the schema of a value to the schema for which the component was written.

use std::collections::HashMap;

use super::{AvroSchema, Field, Name, Node, Part};

/// How many types the resolved schema may have, in addition to those of the schema of the values.
const NODES_MAX: usize = 100_000;

/// The schema for which the component was written.
#[derive(Debug)]
pub(crate) struct AvroReader(AvroSchema);

impl AvroReader {
    /// Fails if the default of a field does not fit its type, or that of an enum is not a symbol.
    pub fn new(schema: AvroSchema) -> Result<Self, String> {
        for (index, Name { full, default, .. }) in &schema.names {
            let (Some(Node::Enum(symbols)), Some(default)) = (schema.nodes.get(*index), default)
            else {
                continue;
            };
            if !symbols.contains(default) {
                return Err(format!("the default of `{full}` is not one of its symbols"));
            }
        }
        for node in &schema.nodes {
            let Node::Record(fields) = node else { continue };
            for field in fields {
                schema.default(field)?;
            }
        }
        Ok(Self(schema))
    }

    /// The schema that reads values of `writer` and converts them to this schema. Where a value
    /// cannot be converted, it has a type that fits no value.
    pub fn resolve(&self, writer: &AvroSchema) -> Result<AvroSchema, String> {
        let Self(reader) = self;
        // The types of fields that are skipped remain as they are.
        let nodes = writer.nodes.clone();
        let mut resolver =
            Resolver { writer, reader, nodes, pairs: HashMap::new(), pending: Vec::new() };
        let root = resolver.pair(writer.root, reader.root)?;
        while let Some((index, written, read)) = resolver.pending.pop() {
            let node = resolver.node(written, read)?;
            if let Some(place) = resolver.nodes.get_mut(index) {
                *place = node;
            }
        }
        Ok(AvroSchema { nodes: resolver.nodes, root, names: HashMap::new() })
    }
}

struct Resolver<'a> {
    writer: &'a AvroSchema,
    reader: &'a AvroSchema,
    /// The types of the writer, and after them the resolved ones.
    nodes: Vec<Node>,
    /// The resolved types, by a type of the writer and one of the reader.
    pairs: HashMap<(usize, usize), usize>,
    /// The resolved types that are to be determined, with their pairs. The schemas may be
    /// recursive, so this is not done by recursion.
    pending: Vec<(usize, usize, usize)>,
}

/// How well a type of a union fits. The best one is chosen, and the first of several.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Same,
    OtherNamespace,
    Promoted,
}

impl Resolver<'_> {
    /// The resolved type for a type of the writer and one of the reader.
    fn pair(&mut self, written: usize, read: usize) -> Result<usize, String> {
        if let Some(index) = self.pairs.get(&(written, read)) {
            return Ok(*index);
        }
        let index = self.add(Node::Null)?;
        self.pairs.insert((written, read), index);
        self.pending.push((index, written, read));
        Ok(index)
    }

    fn add(&mut self, node: Node) -> Result<usize, String> {
        if self.nodes.len() - self.writer.nodes.len() == NODES_MAX {
            return Err(format!("it has more than {NODES_MAX} types in the reader's schema"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// Resolves one type.
    fn node(&mut self, written: usize, read: usize) -> Result<Node, String> {
        let (writer, reader) = (self.writer, self.reader);
        let (Some(from), Some(to)) = (writer.nodes.get(written), reader.nodes.get(read)) else {
            return Err("a type is missing".into());
        };
        if let Node::Union(variants) = from {
            let variants = variants.iter().map(|variant| self.pair(*variant, read));
            return variants.collect::<Result<_, _>>().map(Node::Union);
        }
        if let Node::Union(variants) = to {
            let fits = variants
                .iter()
                .filter_map(|variant| self.fit(written, *variant).map(|fit| (fit, *variant)));
            let best = fits.min_by(|(one, _), (other, _)| one.cmp(other));
            return match best {
                Some((_, variant)) => self.node(written, variant),
                None => Ok(self.misfit(written, read)),
            };
        }
        if self.fit(written, read).is_none() {
            return Ok(self.misfit(written, read));
        }
        Ok(match (from, to) {
            (Node::Record(from), Node::Record(to)) => self.record(from, to)?,
            (Node::Enum(from), Node::Enum(to)) => {
                let default = reader.names.get(&read).and_then(|name| name.default.as_ref());
                let symbols = from.iter().map(|symbol| {
                    let known = to.contains(symbol).then_some(symbol);
                    self.add(match known.or(default) {
                        Some(symbol) => constant(symbol)?,
                        None => Node::Misfit("the reader's schema lacks the symbol".into()),
                    })
                });
                Node::Symbols(symbols.collect::<Result<_, _>>()?)
            }
            (Node::Array(from), Node::Array(to)) => Node::Array(self.pair(*from, *to)?),
            (Node::Map(from), Node::Map(to)) => Node::Map(self.pair(*from, *to)?),
            (Node::Decimal { .. }, Node::Decimal { .. }) => from.clone(),
            (Node::Decimal { bytes, .. }, _) => self.node(*bytes, read)?,
            (_, Node::Decimal { scale, .. }) => Node::Decimal { bytes: written, scale: *scale },
            (Node::Int | Node::Long, Node::Float) => Node::LongAsFloat,
            (Node::Int | Node::Long, Node::Double) => Node::LongAsDouble,
            (Node::Float, Node::Double) => Node::FloatAsDouble,
            // They are encoded in the same way.
            (Node::String, Node::Bytes) | (Node::Bytes, Node::String) => to.clone(),
            _ => from.clone(),
        })
    }

    fn record(&mut self, from: &[Field], to: &[Field]) -> Result<Node, String> {
        let mut fields: HashMap<usize, &Field> = HashMap::new();
        let mut defaults = Vec::new();
        for field in to {
            let named = |name: &String| from.iter().position(|from| from.name == *name);
            let found = named(&field.name).or_else(|| field.aliases.iter().find_map(named));
            if let Some(found) = found.filter(|found| !fields.contains_key(found)) {
                fields.insert(found, field);
                continue;
            }
            let Some(default) = self.reader.default(field)? else {
                return Ok(Node::Misfit(format!(
                    "the schema of the value lacks the field `{}`, which has no default in the \
                     reader's schema",
                    field.name
                )));
            };
            let node = self.add(Node::Constant(default.to_string()))?;
            defaults.push(Part::Field { name: field.name.clone(), node });
        }
        let parts = from.iter().enumerate().map(|(number, from)| match fields.get(&number) {
            Some(field) => {
                let node = self.pair(from.node, field.node)?;
                Ok(Part::Field { name: field.name.clone(), node })
            }
            None => Ok(Part::Skipped(from.node)),
        });
        let mut parts = parts.collect::<Result<Vec<_>, String>>()?;
        parts.extend(defaults);
        Ok(Node::Projection(parts))
    }

    /// How well values of a type can be converted to another one; `None` if they cannot. The fields
    /// of records, and the types in arrays, maps and unions, are not compared.
    fn fit(&self, written: usize, read: usize) -> Option<Fit> {
        let from = self.writer.nodes.get(written)?;
        let to = self.reader.nodes.get(read)?;
        match (from, to) {
            (Node::Decimal { bytes, scale }, Node::Decimal { bytes: read, scale: other }) => {
                self.fit(*bytes, *read).filter(|_| scale == other)
            }
            (Node::Decimal { bytes, .. }, _) => self.fit(*bytes, read),
            (_, Node::Decimal { bytes, .. }) => self.fit(written, *bytes),
            (Node::Fixed(size), Node::Fixed(other)) if size != other => None,
            (Node::Record(_), Node::Record(_))
            | (Node::Enum(_), Node::Enum(_))
            | (Node::Fixed(_), Node::Fixed(_)) => {
                same_name(self.writer.names.get(&written)?, self.reader.names.get(&read)?)
            }
            (Node::Union(_), _) | (_, Node::Union(_)) => Some(Fit::Same),
            (Node::Int, Node::Long | Node::Float | Node::Double)
            | (Node::Long, Node::Float | Node::Double)
            | (Node::Float, Node::Double)
            | (Node::String, Node::Bytes)
            | (Node::Bytes, Node::String) => Some(Fit::Promoted),
            _ => (kind(from) == kind(to)).then_some(Fit::Same),
        }
    }

    fn misfit(&self, written: usize, read: usize) -> Node {
        let describe = |schema: &AvroSchema, index: usize| {
            let kind = schema.nodes.get(index).map_or("nothing", kind);
            match schema.names.get(&index) {
                Some(name) => format!("the {kind} `{}`", name.full),
                None => format!("the type {kind}"),
            }
        };
        let (from, to) = (describe(self.writer, written), describe(self.reader, read));
        Node::Misfit(format!("{from} cannot be read as {to}"))
    }
}

/// Records, enums and fixed types fit if their names without the namespace are the same, or if an
/// alias is the name.
fn same_name(from: &Name, to: &Name) -> Option<Fit> {
    let local = |name: &str| name.rsplit('.').next().map(str::to_owned);
    if from.full == to.full || to.aliases.contains(&from.full) {
        Some(Fit::Same)
    } else {
        (local(&from.full) == local(&to.full)).then_some(Fit::OtherNamespace)
    }
}

fn constant(symbol: &String) -> Result<Node, String> {
    serde_json::to_string(symbol).map(Node::Constant).map_err(|error| error.to_string())
}

/// The name of the kind of a type in a schema.
fn kind(node: &Node) -> &'static str {
    match node {
        Node::Null => "null",
        Node::Boolean => "boolean",
        Node::Int => "int",
        Node::Long => "long",
        Node::Float | Node::LongAsFloat => "float",
        Node::Double | Node::LongAsDouble | Node::FloatAsDouble => "double",
        Node::Bytes => "bytes",
        Node::String => "string",
        Node::Fixed(_) => "fixed",
        Node::Decimal { .. } => "decimal",
        Node::Enum(_) | Node::Symbols(_) => "enum",
        Node::Array(_) => "array",
        Node::Map(_) => "map",
        Node::Union(_) => "union",
        Node::Record(_) | Node::Projection(_) => "record",
        Node::Constant(_) => "constant",
        Node::Misfit(_) => "misfit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(schema: &str) -> Result<AvroReader, String> {
        AvroReader::new(AvroSchema::parse(schema, &[])?)
    }

    /// Decodes a value that was written with a schema, for a reader with another one.
    fn read(writer: &str, to: &str, bytes: &[u8]) -> Result<String, String> {
        let writer = AvroSchema::parse(writer, &[])?;
        let json = reader(to)?.resolve(&writer)?.decode(bytes, 1_000)?;
        Ok(String::from_utf8(json.to_vec()).unwrap())
    }

    #[test]
    fn fields_are_found_by_name_or_alias_left_out_or_replaced_by_their_default() {
        let writer = r#"{"type":"record","name":"Sale","namespace":"a","fields":[
            {"name":"id","type":"string"},
            {"name":"tags","type":{"type":"array","items":"string"}},
            {"name":"amount","type":"int"},
            {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["WEB","SHOP","FAX"]}}]}"#;
        let to = r#"{"type":"record","name":"Sale","namespace":"b","fields":[
            {"name":"price","aliases":["amount"],"type":"double"},
            {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["SHOP","OTHER"],
                "default":"OTHER"}},
            {"name":"id","type":["null","string"]},
            {"name":"note","type":["null","string"],"default":null},
            {"name":"raw","type":"bytes","default":"\u00ff"},
            {"name":"more","default":{"b":1},"type":{"type":"record","name":"More","fields":[
                {"name":"a","type":"double","default":1},{"name":"b","type":"long"}]}}]}"#;
        let value = |kind| [&b"\x08tv-1\x02\x02x\0\x04"[..], &[kind]].concat();
        let expected = |kind| {
            format!(
                r#"{{"id":"tv-1","price":2.0,"kind":"{kind}","note":null,"raw":"/w==","more":{{"a":1.0,"b":1}}}}"#
            )
        };
        for (number, kind) in [(0, "OTHER"), (2, "SHOP"), (4, "OTHER")] {
            assert_eq!(read(writer, to, &value(number)).unwrap(), expected(kind));
        }
        assert_eq!(read(writer, to, &value(6)).unwrap_err(), "kind: an enum has no such symbol");
    }

    #[test]
    fn values_are_promoted() {
        for (from, to, bytes, expected) in [
            (r#""int""#, r#""long""#, &b"\x03"[..], "-2"),
            (r#""int""#, r#""float""#, b"\x03", "-2.0"),
            (r#""long""#, r#"["null","double"]"#, b"\x03", "-2.0"),
            (r#""float""#, r#""double""#, &0.5_f32.to_le_bytes(), "0.5"),
            (r#""string""#, r#""bytes""#, b"\x02a", r#""YQ==""#),
            (r#""bytes""#, r#""string""#, b"\x02a", r#""a""#),
            (r#"["int","string"]"#, r#"["string","long"]"#, b"\0\x02", "1"),
            (r#""int""#, r#"["long","int"]"#, b"\x02", "1"),
        ] {
            assert_eq!(read(from, to, bytes).as_deref(), Ok(expected), "{from} as {to}");
        }
        let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":1}"#;
        assert_eq!(read(decimal, decimal, b"\x02\x05").unwrap(), r#""0.5""#);
        assert_eq!(read(decimal, r#""bytes""#, b"\x02\x05").unwrap(), r#""BQ==""#);
        assert_eq!(read(r#""bytes""#, decimal, b"\x02\x05").unwrap(), r#""0.5""#);
    }

    #[test]
    fn what_cannot_be_converted_is_refused_with_the_reason() {
        let sale =
            |fields: &str| format!(r#"{{"type":"record","name":"Sale","fields":[{fields}]}}"#);
        let id = sale(r#"{"name":"id","type":"string"}"#);
        for (from, to, reason) in [
            (&sale(""), &id, "lacks the field `id`, which has no default"),
            (&sale(r#"{"name":"id","type":"long"}"#), &id, "id: the type long cannot be read as"),
            (&id.replace("Sale", "Refund"), &id, "the record `Refund` cannot be read as the rec"),
            (&r#"["null","string"]"#.into(), &r#""string""#.into(), "the type null cannot be"),
            (
                &r#"{"type":"enum","name":"K","symbols":["A"]}"#.into(),
                &r#"{"type":"enum","name":"K","symbols":["B"]}"#.into(),
                "lacks the symbol",
            ),
        ] {
            let found = read(from, to, b"\0\0").unwrap_err();
            assert!(found.contains(reason), "{reason} is not in: {found}");
        }
        for (kind, default) in [
            (r#""int""#, "\"x\""),
            (r#""int""#, "3000000000"),
            (r#"{"type":"fixed","name":"F","size":2}"#, "\"a\""),
            (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#, "{}"),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"a","type":"R","default":{}}]}"#,
                "{}",
            ),
        ] {
            let field = format!(r#"{{"name":"of","type":{kind},"default":{default}}}"#);
            let found = reader(&sale(&field)).unwrap_err();
            assert!(found.starts_with("the default of `"), "{kind}: {found}");
        }
        let unknown = r#"{"type":"enum","name":"K","symbols":["A"],"default":"B"}"#;
        let found = reader(unknown).unwrap_err();
        assert_eq!(found, "the default of `K` is not one of its symbols");
    }

    #[test]
    fn defaults_are_limited_in_size() {
        // Each level has two fields with the default of the next level.
        let nested = |levels: usize, last: &str| {
            (0..levels).rev().fold(last.to_owned(), |next, level| {
                let name = serde_json::from_str::<serde_json::Value>(&next).unwrap();
                let name = name.get("name").map_or(next.clone(), |name| name.to_string());
                let value = if level + 1 == levels { r#""x""# } else { "{}" };
                format!(
                    r#"{{"type":"record","name":"R{level}","fields":[
                        {{"name":"l","type":{next},"default":{value}}},
                        {{"name":"r","type":["null",{name}],"default":{value}}}]}}"#
                )
            })
        };
        assert!(reader(&nested(4, r#""string""#)).is_ok());
        let found = reader(&nested(40, r#""string""#)).unwrap_err();
        assert!(found.ends_with("` is too large"), "{found}");
        let long = format!(
            r#"{{"type":"record","name":"R","fields":[
                {{"name":"a","type":"string","default":"{}"}}]}}"#,
            "x".repeat(100_000)
        );
        assert_eq!(reader(&long).unwrap_err(), "the default of `a` is too large");
    }

    #[test]
    fn recursive_types_are_resolved_and_what_is_left_out_is_limited() {
        let list = |more: &str| {
            format!(
                r#"{{"type":"record","name":"L","fields":[{{"name":"n","type":["null","L"]}}{more}]}}"#
            )
        };
        let writer = list(r#",{"name":"x","type":{"type":"array","items":"null"}}"#);
        let to = list(r#",{"name":"y","type":"int","default":7}"#);
        let json = read(&writer, &to, b"\x02\0\0\0").unwrap();
        assert_eq!(json, r#"{"n":{"n":null,"y":7},"y":7}"#);
        let endless = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0];
        assert_eq!(read(&writer, &to, &endless).unwrap_err(), "the JSON exceeds 1000 bytes");
    }
}
