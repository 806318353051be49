//! `doorbuster compose`: components into one, as a .wac file says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use wac_graph::EncodeOptions;
use wac_graph::types::BorrowedPackageKey;
use wac_parser::Document;

/// Compose components into one, as a .wac file says.
#[derive(clap::Args)]
pub struct Args {
    /// The composition, in the WAC language.
    composition: PathBuf,
    /// Folder of the components: package `ns:my-name` is `my_name.wasm`.
    #[arg(long, value_name = "DIR")]
    components: PathBuf,
    /// Where to write the composed component.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Composes and writes the result.
pub fn run(args: &Args) -> Result<()> {
    let file = args.composition.display();
    let text =
        fs::read_to_string(&args.composition).with_context(|| format!("cannot read {file}"))?;
    let document = Document::parse(&text).map_err(|e| anyhow!("{file}: {e}"))?;
    let packages = packages(&text, &args.components)?;
    let borrowed = packages
        .iter()
        .map(|(name, bytes)| (BorrowedPackageKey::from_name_and_version(name, None), bytes.clone()))
        .collect();
    let resolution = document.resolve(borrowed).map_err(|e| anyhow!("{file}: {e}"))?;
    let bytes = resolution.encode(EncodeOptions::default()).map_err(|e| anyhow!("{file}: {e}"))?;
    fs::write(&args.output, bytes)
        .with_context(|| format!("cannot write {}", args.output.display()))
}

/// The components that the composition instantiates (`new ns:name`), by package name.
fn packages(text: &str, folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let names = text.lines().filter_map(|line| {
        let (_, after) = line.split_once("= new ")?;
        after.split_whitespace().next()
    });
    names
        .map(|name| {
            let (_, short) = name.split_once(':').unwrap_or(("", name));
            let path = folder.join(format!("{}.wasm", short.replace('-', "_")));
            let bytes = fs::read(&path)
                .with_context(|| format!("cannot read {} for `{name}`", path.display()))?;
            Ok((name.to_owned(), bytes))
        })
        .collect()
}
