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
    /// repository. The project uses it instead of a published version.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// The templates.
#[derive(Clone, Copy, ValueEnum)]
enum Template {
    /// A function in Rust, with `spin-kafka-sdk`.
    KafkaRust,
}

impl Template {
    /// The files with their paths in the project.
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::KafkaRust => &KAFKA_RUST,
        }
    }
}

/// The path of each file in `templates/kafka-rust/content`, and its text.
macro_rules! kafka_rust {
    ($($path:literal),*) => {
        [$(($path, include_str!(concat!("../../../../templates/kafka-rust/content/", $path)))),*]
    };
}

const KAFKA_RUST: [(&str, &str); 6] = kafka_rust![
    ".gitignore",
    "Cargo.toml",
    "README.md",
    "records.ndjson",
    "spin.toml",
    "src/lib.rs"
];

/// Creates the project, and prints what to do next.
pub fn run(args: &Args) -> Result<()> {
    let folder = args.dir.join(&args.name);
    ensure!(!folder.exists(), "{} exists already", folder.display());
    let patch = args.sdk.as_deref().map(patch).transpose()?.unwrap_or_default();
    for (path, text) in args.template.files() {
        let mut text = filled(text, &args.name, &args.topic);
        if *path == "Cargo.toml" {
            text.push_str(&patch);
        }
        write(&folder.join(path), &text)?;
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

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
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
        let (template, topic) = (Template::KafkaRust, "sales-topic".into());
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
        run(&args(dir.path(), "my-orders")).unwrap();
        let template = root().join("templates/kafka-rust/content");
        let project = dir.path().join("my-orders");
        let read = |file: &str| fs::read_to_string(project.join(file)).unwrap();
        let files = files(&template, &template);
        assert_eq!(files.len(), KAFKA_RUST.len());
        for file in &files {
            let text = read(file.to_str().unwrap()).replace("{{ kafka_brokers }}", "");
            assert!(!text.contains("{{") && !text.contains("{%"), "{text}");
        }
        let manifest = read("spin.toml");
        assert!(manifest.contains("[component.my-orders]"), "{manifest}");
        assert!(manifest.contains("release/my_orders.wasm"), "{manifest}");
        assert!(manifest.contains("brokers = \"{{ kafka_brokers }}\""), "{manifest}");
        let package = read("Cargo.toml");
        assert!(package.contains("\n[workspace]\n"), "{package}");
        assert!(!package.contains("[patch"), "{package}");
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
    }

    #[test]
    fn the_guide_shows_the_function_of_the_template() {
        let guide = fs::read_to_string(root().join("docs/guide/write-a-function.md")).unwrap();
        let (_, source) = KAFKA_RUST.into_iter().find(|(path, _)| *path == "src/lib.rs").unwrap();
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
