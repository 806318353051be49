//! `doorbuster new`: creates a project from a template. The templates are those of `spin new`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

/// Create the project of a component that handles Kafka records.
///
/// `spin new` creates the same project, after `spin templates install --dir` with the folder of
/// this repository.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the project and of its folder: lower-case letters, digits and single hyphens, with a
    /// letter first.
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

const KAFKA_RUST: [(&str, &str); 5] =
    kafka_rust![".gitignore", "Cargo.toml", "README.md", "spin.toml", "src/lib.rs"];

/// Creates the project, and prints what to do next.
pub fn run(args: &Args) -> Result<()> {
    let folder = args.dir.join(&args.name);
    ensure!(!folder.exists(), "{} exists already", folder.display());
    for (path, text) in args.template.files() {
        write(&folder.join(path), &filled(text, &args.name, &args.topic))?;
    }
    let folder = folder.display();
    Ok(printing::result(format_args!("created {folder}; README.md in it says how to run it"))?)
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
    let word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let is_valid = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split('-').all(word);
    let error = "expected at most 64 lower-case letters, digits and single hyphens, a letter first";
    if is_valid && name.len() <= NAME_BYTES_MAX { Ok(name.into()) } else { Err(error) }
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
        Args { name: name.into(), template, topic, dir: dir.into() }
    }

    #[test]
    fn a_project_has_all_files_of_the_template_without_placeholders() {
        let dir = tempfile::tempdir().unwrap();
        run(&args(dir.path(), "my-orders")).unwrap();
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
        let template = template.join("templates/kafka-rust/content");
        let (project, mut count) = (dir.path().join("my-orders"), 0);
        for folder in ["", "src"] {
            for entry in template.join(folder).read_dir().unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    let text = fs::read_to_string(project.join(folder).join(entry.file_name()));
                    let text = text.unwrap().replace("{{ kafka_brokers }}", "");
                    assert!(!text.contains("{{") && !text.contains("{%"), "{text}");
                    count += 1;
                }
            }
        }
        assert_eq!(count, KAFKA_RUST.len());
        let manifest = fs::read_to_string(project.join("spin.toml")).unwrap();
        assert!(manifest.contains("[component.my-orders]"), "{manifest}");
        assert!(manifest.contains("release/my_orders.wasm"), "{manifest}");
        assert!(manifest.contains("brokers = \"{{ kafka_brokers }}\""), "{manifest}");
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
        for name in ["", "1st", "Orders", "a--b", "a-", "a_b", "../a", &"a".repeat(65)] {
            project_name(name).unwrap_err();
        }
        for name in ["", "a b", "a\"b", &"a".repeat(250)] {
            topic_name(name).unwrap_err();
        }
        assert_eq!(project_name("a1-2b"), Ok("a1-2b".into()));
        assert_eq!(topic_name("Sales.1_x-y"), Ok("Sales.1_x-y".into()));
    }
}
