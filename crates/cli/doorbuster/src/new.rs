//! `doorbuster new`: creates a project from a template. The templates have the format of Spin's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

/// Create the project of a component that handles Kafka records.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the project and of its folder: words of lower-case letters and digits, each with a
    /// letter first, separated by single hyphens; at most 64 characters.
    #[arg(value_parser = project_name)]
    name: String,
    /// Template of the project.
    #[arg(short, long, value_name = "ID", default_value = "kafka-rust")]
    template: Template,
    /// Topic whose records the component handles.
    #[arg(long, value_parser = topic_name, default_value = "orders")]
    topic: String,
    /// Folder in which the project's folder is created.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Folder of the crate `spin-kafka-sdk`, which is `crates/guest/spin-kafka-sdk` in Doorbuster's
    /// repository. The project uses it instead of a published version. Only for `kafka-rust`.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// The templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// A function in Rust, with `spin-kafka-sdk`.
    #[value(name = "kafka-rust")]
    Rust,
    /// A function in JavaScript.
    #[value(name = "kafka-js")]
    JavaScript,
    /// A function in Python.
    #[value(name = "kafka-python")]
    Python,
    /// A function in Go.
    #[value(name = "kafka-go")]
    Go,
}

/// The path of a file in the project, and its content.
type File = (&'static str, &'static [u8]);

impl Template {
    fn files(self) -> &'static [File] {
        match self {
            Self::Rust => &KAFKA_RUST,
            Self::JavaScript => &KAFKA_JS,
            Self::Python => &KAFKA_PYTHON,
            Self::Go => &KAFKA_GO,
        }
    }
}

/// The path of each file in the template's folder `content`, and its content.
macro_rules! files {
    ($template:literal: $($path:literal),* $(,)?) => {
        [$((
            $path,
            include_bytes!(concat!("../../../../templates/", $template, "/content/", $path)),
        )),*]
    };
}

const KAFKA_RUST: [File; 6] = files![
    "kafka-rust": ".gitignore", "Cargo.toml", "README.md", "records.ndjson", "spin.toml",
    "src/lib.rs",
];

const KAFKA_JS: [File; 21] = files![
    "kafka-js": ".gitignore", "README.md", "package.json", "records.ndjson", "spin.toml",
    "src/index.js", "src/orders.js", "test/index.test.js", "wit/changes.wit",
    "wit/checkpoint.wit", "wit/fold.wit", "wit/handler.wit", "wit/packed-handler.wit", "wit/producer.wit", "wit/sync-checkpoint.wit",
    "wit/sync-handler.wit", "wit/sync-producer.wit", "wit/sync-transform-handler.wit",
    "wit/transform-handler.wit", "wit/types.wit", "wit/worlds.wit",
];

const KAFKA_PYTHON: [File; 21] = files![
    "kafka-python": ".gitignore", "README.md", "app.py", "orders.py", "records.ndjson",
    "requirements.txt", "spin.toml", "test_app.py", "wit/changes.wit", "wit/checkpoint.wit",
    "wit/fold.wit", "wit/handler.wit",
    "wit/packed-handler.wit", "wit/producer.wit", "wit/sync-checkpoint.wit",
    "wit/sync-handler.wit", "wit/sync-producer.wit", "wit/sync-transform-handler.wit",
    "wit/transform-handler.wit", "wit/types.wit", "wit/worlds.wit",
];

const KAFKA_GO: [File; 30] = files![
    "kafka-go": ".gitignore", "README.md", "component-type.section",
    "export_spin_kafka_events_sync_handler/handler.go",
    "export_spin_kafka_events_sync_handler/handler_test.go", "go.mod", "go.sum",
    "orders/orders.go", "records.ndjson", "spin.toml",
    "spin_kafka_events_sync_handler/empty.s", "spin_kafka_events_sync_handler/wit_bindings.go",
    "spin_kafka_events_sync_producer/empty.s", "spin_kafka_events_sync_producer/wit_bindings.go",
    "spin_kafka_events_types/empty.s", "spin_kafka_events_types/wit_bindings.go",
    "wit/changes.wit", "wit/checkpoint.wit", "wit/fold.wit", "wit/handler.wit",
    "wit/packed-handler.wit", "wit/producer.wit", "wit/sync-checkpoint.wit",
    "wit/sync-handler.wit", "wit/sync-producer.wit", "wit/sync-transform-handler.wit",
    "wit/transform-handler.wit", "wit/types.wit", "wit/worlds.wit", "wit_exports.go",
];

/// Creates the project, and prints what to do next.
pub fn run(args: &Args) -> Result<()> {
    let folder = args.dir.join(&args.name);
    ensure!(!folder.exists(), "{} exists already", folder.display());
    ensure!(
        args.sdk.is_none() || args.template == Template::Rust,
        "--sdk is for the template kafka-rust only"
    );
    let patch = args.sdk.as_deref().map(patch).transpose()?.unwrap_or_default();
    for &(path, content) in args.template.files() {
        let file = folder.join(path);
        match std::str::from_utf8(content) {
            Ok(text) => {
                let text = filled(text, &args.name, &args.topic);
                let patch = if path == "Cargo.toml" { patch.as_str() } else { "" };
                write(&file, (text + patch).as_bytes())?;
            }
            Err(_) => write(&file, content)?,
        }
    }
    let folder = folder.display();
    Ok(printing::result(format_args!("created {folder}; README.md in it says how to run it"))?)
}

/// The lines for Cargo.toml that take the SDK from this folder.
fn patch(sdk: &Path) -> Result<String> {
    let unusable = || format!("--sdk {}: not a folder of spin-kafka-sdk", sdk.display());
    let manifest = sdk.join("Cargo.toml").canonicalize().with_context(unusable)?;
    let path = manifest.parent().and_then(Path::to_str).with_context(unusable)?;
    ensure!(!path.contains(['\'', '\n']), "--sdk {path}: the path has a character ' or a new line");
    // A literal string of TOML has no escapes.
    Ok(format!("\n[patch.crates-io]\nspin-kafka-sdk = {{ path = '{path}' }}\n"))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Replaces the placeholders, which are written as Spin's template language (Liquid) requires.
fn filled(text: &str, name: &str, topic: &str) -> String {
    text.replace("{{project-name | kebab_case}}", name)
        .replace("{{project-name | snake_case}}", &name.replace('-', "_"))
        .replace("{{kafka-topic}}", topic)
        .replace("{% raw %}", "")
        .replace("{% endraw %}", "")
}

/// A name that is valid for a package of Cargo and for a component of Spin.
fn project_name(name: &str) -> Result<String, &'static str> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let error = "expected words of lower-case letters and digits, each with a letter first, \
                 separated by single hyphens; at most 64 characters";
    let is_valid = name.split('-').all(is_word) && name.len() <= NAME_BYTES_MAX;
    if is_valid { Ok(name.into()) } else { Err(error) }
}

/// The longest name of a project.
const NAME_BYTES_MAX: usize = 64;

fn topic_name(name: &str) -> Result<String, &'static str> {
    if kafka_record::is_topic_name(name) { Ok(name.into()) } else { Err("not the name of a topic") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dir: &Path, name: &str) -> Args {
        let (template, topic) = (Template::Rust, "sales-topic".into());
        Args { name: name.into(), template, topic, dir: dir.into(), sdk: None }
    }

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap()
    }

    /// The paths of all files in the folder, relative to `root`.
    fn files(root: &Path, folder: &Path) -> Vec<PathBuf> {
        let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let paths = entries.map(|path| {
            if path.is_dir() {
                files(root, &path)
            } else {
                vec![path.strip_prefix(root).unwrap().to_owned()]
            }
        });
        paths.flatten().collect()
    }

    #[test]
    fn a_project_has_all_files_of_the_template_without_placeholders() {
        let dir = tempfile::tempdir().unwrap();
        for template in Template::value_variants() {
            let id = template.to_possible_value().unwrap().get_name().to_owned();
            run(&Args { template: *template, ..args(dir.path(), &id) }).unwrap();
            let project = dir.path().join(&id);
            let content = root().join("templates").join(&id).join("content");
            let files = files(&content, &content);
            assert_eq!(files.len(), template.files().len(), "{id}");
            for file in &files {
                let bytes = fs::read(project.join(file)).unwrap();
                let text = String::from_utf8_lossy(&bytes).replace("{{ kafka_brokers }}", "");
                assert!(!text.contains("{{") && !text.contains("{%"), "{id}: {text}");
            }
            let manifest = fs::read_to_string(project.join("spin.toml")).unwrap();
            let component = format!("[component.{id}]");
            assert!(manifest.contains(&component), "{manifest}");
            let wasm = format!("/{}.wasm", id.replace('-', "_"));
            assert!(manifest.contains(&wasm), "{manifest}");
            assert!(manifest.contains("brokers = \"{{ kafka_brokers }}\""), "{manifest}");
        }
        let package = fs::read_to_string(dir.path().join("kafka-rust/Cargo.toml")).unwrap();
        assert!(package.contains("\n[workspace]\n"), "{package}");
        assert!(!package.contains("[patch"), "{package}");
    }

    #[test]
    fn the_copies_of_the_interfaces_are_current() {
        let original = root().join("wit/spin-kafka-events");
        let names = files(&original, &original);
        let names: Vec<_> = names
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "wit"))
            .collect();
        for template in ["kafka-js", "kafka-python", "kafka-go"] {
            let copy = root().join("templates").join(template).join("content/wit");
            assert_eq!(files(&copy, &copy).len(), names.len(), "copy {original:?} to {copy:?}");
            for name in &names {
                let read = |folder: &Path| fs::read_to_string(folder.join(name)).unwrap();
                assert_eq!(read(&copy), read(&original), "copy {original:?} to {copy:?}");
            }
        }
    }

    #[test]
    fn a_project_can_use_the_sdk_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let sdk = root().join("crates/cli/../guest/spin-kafka-sdk");
        run(&Args { sdk: Some(sdk.clone()), ..args(dir.path(), "mine") }).unwrap();
        let package = fs::read_to_string(dir.path().join("mine/Cargo.toml")).unwrap();
        let sdk = sdk.canonicalize().unwrap();
        let expected =
            format!("\n[patch.crates-io]\nspin-kafka-sdk = {{ path = '{}' }}\n", sdk.display());
        assert!(package.ends_with(&expected), "{package}");

        let wrong = Args { sdk: Some(dir.path().into()), ..args(dir.path(), "other") };
        let error = run(&wrong).unwrap_err().to_string();
        assert!(error.ends_with("not a folder of spin-kafka-sdk"), "{error}");
        assert!(!dir.path().join("other").exists());

        let other = Args { template: Template::Go, ..args(dir.path(), "other") };
        let error = run(&Args { sdk: Some(sdk), ..other }).unwrap_err().to_string();
        assert_eq!(error, "--sdk is for the template kafka-rust only");
    }

    #[test]
    fn the_guide_shows_the_function_of_the_template() {
        let guide = fs::read_to_string(root().join("docs/guide/write-a-function.md")).unwrap();
        let (_, source) = KAFKA_RUST.into_iter().find(|(path, _)| *path == "src/lib.rs").unwrap();
        let source = std::str::from_utf8(source).unwrap();
        let function = &source[source.find("#[kafka::record]").unwrap()..];
        let function = &function[..function.find("\n}\n").unwrap() + 3];
        assert!(guide.contains(function), "{function}");
    }

    #[test]
    fn an_existing_folder_is_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mine")).unwrap();
        let error = run(&args(dir.path(), "mine")).unwrap_err().to_string();
        assert!(error.ends_with("mine exists already"), "{error}");
        assert_eq!(dir.path().join("mine").read_dir().unwrap().count(), 0);
    }

    #[test]
    fn invalid_names_are_refused() {
        for name in ["", "1st", "Orders", "a--b", "a-", "a-1", "a_b", "../a", &"a".repeat(65)] {
            project_name(name).unwrap_err();
        }
        for name in ["", "a b", "a\"b", &"a".repeat(250)] {
            topic_name(name).unwrap_err();
        }
        assert_eq!(project_name("a1-b2"), Ok("a1-b2".into()));
        assert_eq!(topic_name("Sales.1_x-y"), Ok("Sales.1_x-y".into()));
    }
}
