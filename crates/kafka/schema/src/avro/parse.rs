//! Reads an Avro schema.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Field, Name, Node};
use crate::references::{Bundle, Import};

/// The largest scale of a decimal: the number of digits of a number of 16 bytes.
const SCALE_MAX: u64 = 38;

/// An Avro schema.
#[derive(Debug)]
pub(crate) struct AvroSchema {
    pub(super) nodes: Vec<Node>,
    pub(super) root: usize,
    /// The names of the types that have one.
    pub(super) names: HashMap<usize, Name>,
}

impl AvroSchema {
    /// Reads a schema of the registry.
    pub fn of(Bundle { definition, imports }: &Bundle) -> Result<Self, String> {
        Self::parse(&definition.schema, imports)
    }

    /// Reads a schema. It may use the named types of `imports`. The error says why it cannot be
    /// used.
    pub fn parse(text: &str, imports: &[Import]) -> Result<Self, String> {
        let mut parser = Parser::default();
        for Import { name, schema } in imports {
            parser.text(schema).map_err(|reason| format!("reference `{name}`: {reason}"))?;
        }
        let root = parser.text(text)?;
        Ok(Self { nodes: parser.nodes, root, names: parser.names })
    }
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    /// The named types by their full names.
    named: HashMap<String, usize>,
    names: HashMap<usize, Name>,
}

impl Parser {
    /// Adds the type of a text.
    fn text(&mut self, text: &str) -> Result<usize, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        self.node(&schema, "")
    }

    /// Adds a type, and the types in it. Names without a namespace are in `namespace`.
    fn node(&mut self, schema: &Value, namespace: &str) -> Result<usize, String> {
        match schema {
            Value::String(name) => self.reference(name, namespace),
            Value::Array(variants) => {
                let variants = variants.iter().map(|variant| self.node(variant, namespace));
                let variants = variants.collect::<Result<_, _>>()?;
                Ok(self.add(Node::Union(variants)))
            }
            Value::Object(schema) => self.object(schema, namespace),
            other => Err(format!("`{other}` is not a type")),
        }
    }

    /// A primitive type, or a type that was defined before.
    fn reference(&mut self, name: &str, namespace: &str) -> Result<usize, String> {
        if let Some(node) = primitive(name) {
            return Ok(self.add(node));
        }
        let full = full_name(name, namespace);
        let node = self.named.get(&full).or_else(|| self.named.get(name));
        node.copied().ok_or_else(|| format!("the type `{name}` is not defined"))
    }

    fn object(&mut self, schema: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        let kind = schema.get("type").ok_or("a type has no member `type`")?;
        let Value::String(kind) = kind else { return self.node(kind, namespace) };
        let node = match kind.as_str() {
            "record" | "error" => return self.record(schema, namespace),
            "enum" => {
                let symbols = list(schema, "symbols")?.iter().map(|symbol| text(symbol, "symbols"));
                let symbols = symbols.collect::<Result<_, _>>()?;
                let index = self.add(Node::Enum(symbols));
                self.name(schema, namespace, index)?;
                return Ok(index);
            }
            "fixed" => {
                let size = schema.get("size").and_then(Value::as_u64);
                let size = size.and_then(|size| usize::try_from(size).ok());
                let index = self.add(Node::Fixed(size.ok_or("a fixed type has no `size`")?));
                self.name(schema, namespace, index)?;
                index
            }
            "array" => {
                let items =
                    self.node(schema.get("items").ok_or("an array has no `items`")?, namespace)?;
                self.add(Node::Array(items))
            }
            "map" => {
                let values =
                    self.node(schema.get("values").ok_or("a map has no `values`")?, namespace)?;
                self.add(Node::Map(values))
            }
            other => self.reference(other, namespace)?,
        };
        if schema.get("logicalType").and_then(Value::as_str) == Some("decimal") {
            return self.decimal(schema, node);
        }
        Ok(node)
    }

    fn record(&mut self, schema: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        // The fields may refer to the record.
        let index = self.add(Node::Null);
        let namespace = self.name(schema, namespace, index)?;
        let mut fields = Vec::new();
        for field in list(schema, "fields")? {
            let name = text(field.get("name").unwrap_or(&Value::Null), "name")?;
            let kind = field.get("type").ok_or_else(|| format!("field `{name}` has no `type`"))?;
            let node = self.node(kind, &namespace)?;
            let aliases = texts(field.get("aliases"));
            fields.push(Field { name, node, aliases, default: field.get("default").cloned() });
        }
        if let Some(node) = self.nodes.get_mut(index) {
            *node = Node::Record(fields);
        }
        Ok(index)
    }

    fn decimal(&mut self, schema: &Map<String, Value>, bytes: usize) -> Result<usize, String> {
        if !matches!(self.nodes.get(bytes), Some(Node::Bytes | Node::Fixed(_))) {
            return Err("a decimal is neither bytes nor fixed".into());
        }
        let scale = schema.get("scale").map_or(Some(0), Value::as_u64);
        let scale = scale.filter(|scale| *scale <= SCALE_MAX);
        let scale = scale.and_then(|scale| usize::try_from(scale).ok());
        let scale = scale.ok_or_else(|| format!("a decimal has a scale above {SCALE_MAX}"))?;
        Ok(self.add(Node::Decimal { bytes, scale }))
    }

    /// Makes a type known by its name. Returns the namespace of the types in it.
    fn name(
        &mut self,
        schema: &Map<String, Value>,
        namespace: &str,
        index: usize,
    ) -> Result<String, String> {
        let name = text(schema.get("name").unwrap_or(&Value::Null), "name")?;
        let namespace = schema.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full = full_name(&name, namespace);
        let own = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        if self.named.insert(full.clone(), index).is_some() {
            return Err(format!("the type `{name}` is defined twice"));
        }
        let aliases = texts(schema.get("aliases"));
        let aliases = aliases.iter().map(|alias| full_name(alias, &own)).collect();
        let default = schema.get("default").and_then(Value::as_str).map(Into::into);
        self.names.insert(index, Name { full, aliases, default });
        Ok(own)
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}

fn primitive(name: &str) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::String,
        _ => return None,
    })
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        return name.into();
    }
    format!("{namespace}.{name}")
}

fn list<'a>(schema: &'a Map<String, Value>, member: &str) -> Result<&'a Vec<Value>, String> {
    schema.get(member).and_then(Value::as_array).ok_or_else(|| format!("`{member}` is not a list"))
}

/// The texts of an optional list.
fn texts(list: Option<&Value>) -> Vec<String> {
    let texts = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    texts.map(Into::into).collect()
}

fn text(value: &Value, member: &str) -> Result<String, String> {
    value.as_str().map(Into::into).ok_or_else(|| format!("`{member}` is not a text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_in_the_namespace_that_encloses_it() {
        let schema = r#"{"type":"record","name":"Sale","namespace":"shop","fields":[
            {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["WEB"]}},
            {"name":"again","type":"Kind"},
            {"name":"full","type":"shop.Kind"},
            {"name":"other","type":{"type":"fixed","name":"other.Raw","size":2}},
            {"name":"raw","type":"other.Raw"}]}"#;
        let schema = AvroSchema::parse(schema, &[]).unwrap();
        let Node::Record(fields) = &schema.nodes[schema.root] else { panic!("{schema:?}") };
        let nodes: Vec<usize> = fields.iter().map(|field| field.node).collect();
        assert_eq!((nodes[1], nodes[2], nodes[4]), (nodes[0], nodes[0], nodes[3]));
    }

    #[test]
    fn an_invalid_schema_is_refused_with_the_reason() {
        for (schema, reason) in [
            ("{", "EOF"),
            ("1", "`1` is not a type"),
            (r#""Sale""#, "`Sale` is not defined"),
            ("{}", "no member `type`"),
            (r#"{"type":"record","name":"A"}"#, "`fields` is not a list"),
            (r#"{"type":"record","name":"A","fields":[{"type":"int"}]}"#, "`name` is not a text"),
            (r#"{"type":"record","name":"A","fields":[{"name":"b"}]}"#, "`b` has no `type`"),
            (r#"{"type":"enum","name":"A"}"#, "`symbols` is not a list"),
            (r#"{"type":"fixed","name":"A"}"#, "no `size`"),
            (r#"{"type":"array"}"#, "no `items`"),
            (r#"{"type":"map"}"#, "no `values`"),
            (r#"{"type":"int","logicalType":"decimal"}"#, "neither bytes nor fixed"),
            (r#"{"type":"bytes","logicalType":"decimal","scale":39}"#, "above 38"),
            (
                r#"[{"type":"fixed","name":"A","size":1},{"type":"fixed","name":"A","size":1}]"#,
                "defined twice",
            ),
        ] {
            let error = AvroSchema::parse(schema, &[]).unwrap_err();
            assert!(error.contains(reason), "{schema}: {error}");
        }
    }
}
