//! Writes the lists of settings and flags in `docs/reference/settings.md`: the settings from the
//! doc comments of their structs, the flags from their help texts.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::time::Duration;

use clap::{Arg, Args as _, Command, CommandFactory as _};
use host_producer::ProducerConfig;
use kafka_schema::SchemaConfig;
use kafka_trigger::CallSettings;
use runner::CommonArgs;
use spin_amqp_trigger::Config as AmqpConfig;
use spin_kafka_trigger::{Config, OidcSettings};

/// The page with the lists.
const PAGE: &str = "docs/reference/settings.md";

/// Set by `cargo xtask settings`: the page is written instead of compared.
const WRITE: &str = "DOORBUSTER_WRITE_SETTINGS";

/// The longest line of the page.
const LINE_CHARS: usize = 100;

#[test]
fn the_page_contains_all_settings_and_flags() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
    let page = root.join(PAGE);
    let source = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let engine = source("crates/kafka/spin-kafka-trigger/src/config.rs");
    let amqp = source("crates/amqp/spin-amqp-trigger/src/config.rs");
    let call = source("crates/host/kafka-trigger/src/config.rs");
    let schema = source("crates/kafka/schema/src/config.rs");
    let producer = source("crates/kafka/host-producer/src/config.rs");
    let provider = source("crates/kafka/client/src/oidc/settings.rs");
    let trigger = settings(&engine, "Config", &Config::default())
        + &settings(&call, "CallSettings", &CallSettings::default());
    let amqp = settings(&amqp, "Config", &AmqpConfig::default())
        + &settings(&call, "CallSettings", &CallSettings::default());
    let (common, commands) = flags();
    let text = std::fs::read_to_string(&page).unwrap();
    let mut written = text.clone();
    for (name, list) in [
        ("settings of the trigger", trigger),
        ("settings of the AMQP trigger", amqp),
        (
            "settings of the schema registry",
            settings(&schema, "SchemaConfig", &SchemaConfig::default()),
        ),
        (
            "settings of the producer",
            settings(&producer, "ProducerConfig", &ProducerConfig::default()),
        ),
        ("settings of oauth", settings(&provider, "OidcSettings", &OidcSettings::default())),
        ("common flags", common),
        ("commands", commands),
    ] {
        written = replace(&written, name, &list);
    }
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&page, written).unwrap();
    } else {
        assert!(text == written, "{PAGE} differs from the code: run `cargo xtask settings`");
    }
}

/// Replaces the text between the markers of this name.
fn replace(page: &str, name: &str, list: &str) -> String {
    let begin = format!("<!-- {name}: written by `cargo xtask settings` -->\n");
    let end = format!("<!-- end of {name} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no `{begin}`"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no `{end}`"));
    format!("{before}{begin}\n{list}\n{end}{after}")
}

/// Lists the settings of a struct. Fails if a doc comment names another default than the value in
/// `defaults`.
fn settings(source: &str, name: &str, defaults: &impl Debug) -> String {
    let values = values(defaults);
    let mut list = String::new();
    for Field { name: field, setting, doc } in fields(source, name) {
        let (text, default) = split_default(&doc);
        let documented = default.map(value).unwrap_or_default();
        assert_eq!(documented, values[&field], "`{field}` of {name}: default in the doc comment");
        let unit = if field.ends_with("_ms") { " ms" } else { "" };
        let default = default.map(|default| format!(" (default {default}{unit})"));
        item(&mut list, &format!("`{setting}`{}: {text}", default.unwrap_or_default()));
    }
    list
}

/// A field of a struct.
struct Field {
    name: String,
    /// The name of the setting, if `serde` renames the field.
    setting: String,
    doc: String,
}

/// The fields of a struct. The source is formatted by rustfmt.
fn fields(source: &str, name: &str) -> Vec<Field> {
    let (_, body) = source.split_once(&format!("struct {name} {{\n")).unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let (mut fields, mut doc, mut renamed) = (Vec::new(), Vec::new(), None);
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            doc.push(text);
        } else if let Some(rest) = line.strip_prefix("#[serde(rename = \"") {
            renamed = rest.split('"').next();
        } else if let Some((field, _)) = line.split_once(": ") {
            let name = field.trim_start_matches("pub ").to_owned();
            let setting = renamed.take().map_or_else(|| name.clone(), str::to_owned);
            fields.push(Field { name, setting, doc: doc.join(" ") });
            doc.clear();
        }
    }
    fields
}

/// Separates the last sentence of a doc comment, if it states the default.
fn split_default(doc: &str) -> (&str, Option<&str>) {
    match doc.rsplit_once(" Default ") {
        Some((text, default)) => (text, Some(default.trim_end_matches('.'))),
        None => (doc, None),
    }
}

/// The value that a doc comment states, such as `lz4`, 1,000, 16 MiB or 10,000 ms.
fn value(documented: &str) -> String {
    let plain = documented.replace(['`', ','], "");
    if let Some(milliseconds) = plain.strip_suffix(" ms") {
        return format!("{:?}", Duration::from_millis(milliseconds.parse().unwrap()));
    }
    for (unit, bytes) in [(" MiB", 1 << 20), (" GiB", 1 << 30)] {
        if let Some(number) = plain.strip_suffix(unit) {
            return (number.parse::<u64>().unwrap() * bytes).to_string();
        }
    }
    plain
}

/// The values of the fields in the form of [`value`]; empty for an empty text, list or option.
fn values(defaults: &impl Debug) -> BTreeMap<String, String> {
    let printed = format!("{defaults:#?}");
    let fields = printed.lines().filter_map(|line| {
        let (field, value) = line.strip_prefix("    ")?.split_once(": ")?;
        let value = value.trim_end_matches(',').trim_matches('"');
        let value = if matches!(value, "[]" | "{}" | "None") { "" } else { value };
        Some((field.to_owned(), kebab_case(value)))
    });
    fields.collect()
}

/// `DeadLetter` becomes `dead-letter`.
fn kebab_case(name: &str) -> String {
    let mut kebab = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(char.to_ascii_lowercase());
    }
    kebab
}

/// Lists the flags that all programs have, and those of each command of `doorbuster`.
fn flags() -> (String, String) {
    let mut known = Vec::new();
    let common = flags_of(&CommonArgs::augment_args(Command::new("")), &mut known);
    let mut cli = crate::Cli::command();
    cli.build();
    let mut commands = String::new();
    add_commands(&mut commands, &cli, "doorbuster", &mut known);
    (common.trim_start().to_owned(), commands.trim_start().to_owned())
}

fn add_commands(list: &mut String, command: &Command, path: &str, known: &mut Vec<String>) {
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let path = format!("{path} {}", command.get_name());
        let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
        let _ =
            write!(list, "\n### `{path}`\n\n{}\n", wrap(&sentence(&about.unwrap_or_default()), ""));
        *list += &flags_of(command, known);
        add_commands(list, command, &path, known);
    }
}

/// Lists the flags of a command. Those that are listed already are only named.
fn flags_of(command: &Command, known: &mut Vec<String>) -> String {
    let (mut list, mut as_above) = (String::from("\n"), Vec::new());
    let is_shown =
        |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    for arg in command.get_arguments().filter(is_shown) {
        let text = flag(arg);
        if known.contains(&text) {
            as_above.push(format!("`{}`", name(arg)));
        } else {
            item(&mut list, &text);
            known.push(text);
        }
    }
    if !as_above.is_empty() {
        item(&mut list, &format!("as above: {}", as_above.join(", ")));
    }
    if list.trim().is_empty() { String::new() } else { list }
}

fn flag(arg: &Arg) -> String {
    let values: Vec<_> =
        arg.get_value_names().unwrap_or_default().iter().map(|v| v.as_str()).collect();
    let usage = match arg.get_short() {
        Some(short) => format!("-{short}, {}", name(arg)),
        None => name(arg),
    };
    let usage = if arg.is_positional() || !arg.get_action().takes_values() {
        usage
    } else {
        format!("{usage} {}", values.join(" "))
    };
    let mut notes = Vec::new();
    if let Some(env) = arg.get_env() {
        let value = if arg.get_action().takes_values() { "" } else { "=true" };
        notes.push(format!("environment `{}{value}`", env.display()));
    }
    if arg.get_action().takes_values() {
        for default in arg.get_default_values() {
            notes.push(format!("default `{}`", default.display()));
        }
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    format!("`{usage}`{notes}: {}", sentence(&help))
}

fn name(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_value_names()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some([value, ..])) => value.to_string(),
        (None, _) => arg.get_id().to_string(),
    }
}

/// Joins the lines of a help text. clap removes the full stop of a single sentence.
fn sentence(help: &str) -> String {
    let text = help.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.ends_with(['.', ':']) { text } else { text + "." }
}

/// Adds an item to a list in Markdown.
fn item(list: &mut String, text: &str) {
    let _ = writeln!(list, "- {}", wrap(text, "  "));
}

/// Breaks the lines between words. `indent` stands before each line but the first.
fn wrap(text: &str, indent: &str) -> String {
    let (mut wrapped, mut column) = (String::new(), indent.len());
    for word in text.split(' ') {
        let chars = word.chars().count();
        if column > indent.len() && column + 1 + chars > LINE_CHARS {
            wrapped += &format!("\n{indent}{word}");
            column = indent.len() + chars;
        } else {
            let space = usize::from(!wrapped.is_empty());
            wrapped += &format!("{}{word}", " ".repeat(space));
            column += space + chars;
        }
    }
    wrapped
}
