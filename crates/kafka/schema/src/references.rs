//! The schemas that other schemas refer to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::registry::{Definition, FetchError, Reference, Registry, Version};
use serde::Deserialize;

use crate::Metrics;
use crate::cache::lock;

/// How many schemas a schema may refer to, directly and through others.
const REFERENCES_MAX: usize = 100;
/// How many references may lead from a schema to the last one.
const DEPTH_MAX: usize = 16;
/// How many bytes the texts of a schema and of those that it refers to may have.
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many bytes of texts are kept for other schemas.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many schemas are kept for other schemas.
const KEPT_MAX: usize = 1_000;

/// A schema with those that it refers to.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    pub definition: Definition,
    /// The schemas that it refers to. Each one comes after those that it refers to itself.
    pub imports: Vec<Import>,
}

impl Bundle {
    /// The size of all texts.
    pub fn text_bytes(&self) -> usize {
        let imports = self.imports.iter().map(|import| import.schema.len());
        self.definition.schema.len() + imports.sum::<usize>()
    }
}

/// A schema that another one refers to.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Import {
    pub name: String,
    pub schema: String,
}

/// Fetches schemas that others refer to, and keeps them.
pub(crate) struct References {
    metrics: Arc<Metrics>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    definitions: HashMap<Version, Arc<Definition>>,
    bytes: usize,
}

/// A schema whose references are being resolved.
struct Level {
    import: Option<Import>,
    references: std::vec::IntoIter<Reference>,
}

impl References {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, kept: Mutex::default() }
    }

    /// Fetches everything that the schema refers to.
    pub async fn resolve(
        &self,
        registry: &Registry,
        definition: Definition,
    ) -> Result<Bundle, FetchError> {
        let mut imports = Vec::new();
        let (mut names, mut targets) = (HashSet::new(), HashSet::new());
        let is_avro = definition.is_avro();
        let mut bytes = definition.schema.len();
        let references = definition.references.clone().into_iter();
        let mut levels = vec![Level { import: None, references }];
        while let Some(level) = levels.last_mut() {
            let Some(Reference { name, target }) = level.references.next() else {
                imports.extend(levels.pop().and_then(|level| level.import));
                continue;
            };
            // A name stands for the first schema that is referred to by it, as in Confluent's
            // serializers. In Avro the schemas use the names of types, so a schema with several
            // names would define its types twice.
            if !names.insert(name.clone()) || !targets.insert(target.clone()) && is_avro {
                continue;
            }
            if names.len() > REFERENCES_MAX {
                return Err(too_much(format!("refers to more than {REFERENCES_MAX} schemas")));
            }
            if levels.len() > DEPTH_MAX {
                return Err(too_much(format!("has more than {DEPTH_MAX} levels of references")));
            }
            let found = self.get(registry, &target).await?;
            bytes += found.schema.len();
            if bytes > TEXT_BYTES_MAX {
                let size = format!("has, with its references, more than {TEXT_BYTES_MAX} bytes");
                return Err(too_much(size));
            }
            let import = Some(Import { name, schema: found.schema.clone() });
            levels.push(Level { import, references: found.references.clone().into_iter() });
        }
        Ok(Bundle { definition, imports })
    }

    async fn get(
        &self,
        registry: &Registry,
        version: &Version,
    ) -> Result<Arc<Definition>, FetchError> {
        if let Some(kept) = lock(&self.kept).definitions.get(version) {
            return Ok(kept.clone());
        }
        let fetched = self.metrics.count(registry.fetch_version(version).await);
        let definition = Arc::new(fetched?);
        lock(&self.kept).insert(version.clone(), definition.clone());
        Ok(definition)
    }
}

impl Kept {
    /// Keeps a schema. Everything else is dropped before that if it would be too much: it can be
    /// fetched again, and few registries have so many schemas.
    fn insert(&mut self, version: Version, definition: Arc<Definition>) {
        if self.definitions.contains_key(&version) {
            return;
        }
        let bytes = definition.schema.len();
        if self.definitions.len() == KEPT_MAX || self.bytes + bytes > KEPT_BYTES_MAX {
            *self = Self::default();
        }
        self.definitions.insert(version, definition);
        self.bytes += bytes;
    }
}

fn too_much(reason: String) -> FetchError {
    FetchError::Unusable(format!("it {reason}"))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::avro::AvroSchema;
    use crate::test_registry::TestRegistry;

    /// A definition that refers to the first versions of these subjects.
    fn refers_to(subjects: &[String]) -> Definition {
        let reference = |subject: &String| Reference {
            name: format!("{subject}.proto"),
            target: Version { subject: subject.clone(), version: 1 },
        };
        let references = subjects.iter().map(reference).collect();
        Definition { schema: "text".into(), schema_type: None, references }
    }

    fn add(server: &TestRegistry, subject: &str, references: &[&str]) {
        let names = references
            .iter()
            .map(|to| format!(r#"{{"name":"{to}.proto","subject":"{to}","version":1}}"#));
        let names: Vec<String> = names.collect();
        let body = format!(r#"{{"schema":"{subject}","references":[{}]}}"#, names.join(","));
        server.add(&format!("subjects/{subject}/versions/1"), &body);
    }

    async fn start() -> (TestRegistry, Registry, References) {
        let missing = r#"{"error_code":40401}"#;
        let server = TestRegistry::start(StatusCode::NOT_FOUND, missing).await;
        let registry = Registry::new(server.config()).unwrap();
        (server, registry, References::new(Arc::default()))
    }

    #[tokio::test]
    async fn each_schema_is_fetched_once_and_comes_after_those_that_it_refers_to() {
        let (server, registry, references) = start().await;
        add(&server, "a", &["c"]);
        add(&server, "b", &["c", "b"]);
        add(&server, "c", &[]);
        for roots in [vec!["a".to_owned(), "b".to_owned()], vec!["b".to_owned()]] {
            let bundle = references.resolve(&registry, refers_to(&roots)).await.unwrap();
            let names = bundle.imports.iter().map(|import| (&*import.name, &*import.schema));
            let expected = [("c.proto", "c"), ("a.proto", "a"), ("b.proto", "b")];
            let expected =
                expected.into_iter().filter(|(_, name)| roots.len() == 2 || *name != "a");
            assert!(names.eq(expected), "{bundle:?}");
        }
        let asked = server.asked().into_iter().map(|(path, _)| path);
        let expected = ["a", "c", "b"];
        let expected = expected.map(|name| format!("/api/subjects/{name}/versions/1?deleted=true"));
        assert_eq!(asked.collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn no_type_is_defined_twice_by_two_names_or_versions_of_a_schema() {
        let (server, registry, references) = start().await;
        let kind = |symbol| {
            let kind = format!(r#"{{"type":"enum","name":"Kind","symbols":["{symbol}"]}}"#);
            serde_json::json!({ "schema": kind }).to_string()
        };
        server.add("subjects/kind/versions/1", &kind("FIRST"));
        server.add("subjects/kind/versions/2", &kind("SECOND"));
        for (other, version) in [("kind", 2), ("Kind", 1)] {
            let reference = |name: &str, version| Reference {
                name: name.into(),
                target: Version { subject: "kind".into(), version },
            };
            let definition = Definition {
                schema: r#""Kind""#.into(),
                schema_type: None,
                references: vec![reference("kind", 1), reference(other, version)],
            };
            let bundle = references.resolve(&registry, definition).await.unwrap();
            let schema = AvroSchema::of(&bundle).unwrap();
            assert_eq!(schema.decode(b"\0", 100).unwrap(), "\"FIRST\"", "{other} {version}");
        }
    }

    #[tokio::test]
    async fn number_depth_and_existence_are_checked() {
        let (server, registry, references) = start().await;
        let resolve = |roots: Vec<String>| {
            let definition = refers_to(&roots);
            async {
                references.resolve(&registry, definition).await.map(|bundle| bundle.imports.len())
            }
        };
        let subjects: Vec<String> =
            (0..=REFERENCES_MAX).map(|number| format!("n{number}")).collect();
        for subject in &subjects {
            add(&server, subject, &[]);
        }
        for number in 0..=DEPTH_MAX {
            add(&server, &format!("d{number}"), &[&*format!("d{}", number + 1)]);
        }
        add(&server, &format!("d{DEPTH_MAX}"), &[]);
        assert_eq!(resolve(subjects[1..].to_vec()).await, Ok(REFERENCES_MAX));
        assert_eq!(resolve(vec!["d1".into()]).await, Ok(DEPTH_MAX));
        for (roots, expected) in
            [(subjects, "more than 100 schemas"), (vec!["d0".into()], "16 levels")]
        {
            let error = resolve(roots).await.unwrap_err();
            let FetchError::Unusable(reason) = error else { panic!("{error:?}") };
            assert!(reason.contains(expected), "{reason}");
        }
        let missing = FetchError::Missing("the registry has no version 1 of the subject x".into());
        assert_eq!(resolve(vec!["x".into()]).await, Err(missing));
    }

    #[test]
    fn what_is_kept_is_limited() {
        let mut kept = Kept::default();
        let half = Definition { schema: " ".repeat(KEPT_BYTES_MAX / 2), ..refers_to(&[]) };
        let half = Arc::new(half);
        for (version, expected) in [(1, 1), (2, 2), (2, 2), (3, 1)] {
            kept.insert(Version { subject: "s".into(), version }, half.clone());
            assert_eq!(kept.definitions.len(), expected);
        }
        let small = Arc::new(refers_to(&[]));
        for version in 0..KEPT_MAX as u32 {
            kept.insert(Version { subject: "t".into(), version }, small.clone());
            assert!(kept.definitions.len() <= KEPT_MAX);
        }
    }
}
