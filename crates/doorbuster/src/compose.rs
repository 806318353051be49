//! `doorbuster compose`: components into one, as a .wac file says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use semver::Version;
use wac_graph::EncodeOptions;
use wac_graph::types::BorrowedPackageKey;
use wac_parser::Document;
use wac_parser::resolution::Error;

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
    let bytes = compose(&text, &args.components).with_context(|| file.to_string())?;
    fs::write(&args.output, bytes)
        .with_context(|| format!("cannot write {}", args.output.display()))
}

/// A package by its name and version.
type Key = (String, Option<Version>);

/// The composed component. Each package is read when the document's resolver asks for it, so that
/// nothing but the resolver needs to know where a document may name one.
fn compose(text: &str, folder: &Path) -> Result<Vec<u8>> {
    let document = Document::parse(text).map_err(|e| anyhow!("{e}"))?;
    let mut packages: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    loop {
        let borrowed = packages.iter().map(|((name, version), bytes)| {
            (BorrowedPackageKey::from_name_and_version(name, version.as_ref()), bytes.clone())
        });
        match document.resolve(borrowed.collect()) {
            Ok(resolution) => {
                return resolution.encode(EncodeOptions::default()).map_err(|e| anyhow!("{e}"));
            }
            Err(Error::UnknownPackage { name, span }) => {
                let version = version_at(text, span.offset())?;
                let bytes = read(&name, folder)?;
                if packages.insert((name.clone(), version), bytes).is_some() {
                    bail!("`{name}` is the composition itself");
                }
            }
            Err(error) => bail!("{error}"),
        }
    }
}

/// The version of the package whose name begins at this offset.
fn version_at(text: &str, offset: usize) -> Result<Option<Version>> {
    let name = text.get(offset..).unwrap_or_default();
    let is_part = |c: char| c.is_ascii_alphanumeric() || ":/@.-+%".contains(c);
    let name = name.split(|c| !is_part(c)).next().unwrap_or_default();
    let version = name.split_once('@').map(|(_, version)| version.trim_end_matches('.'));
    version.map(|version| Ok(version.parse()?)).transpose()
}

/// The component `my_name.wasm` for the package `ns:my-name`.
fn read(name: &str, folder: &Path) -> Result<Vec<u8>> {
    let short = name.rsplit(':').next().unwrap_or(name);
    let path = folder.join(format!("{}.wasm", short.replace('-', "_")));
    fs::read(&path).with_context(|| format!("cannot read {} for `{name}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component without imports and exports.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn packages_are_found_wherever_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b.wasm"), EMPTY).unwrap();
        fs::write(folder.path().join("c_d.wasm"), EMPTY).unwrap();
        for text in [
            "package x:y;\nlet b = new a:b { ... };",
            "package x:y;\nlet b = new a:b{ ... };",
            "package x:y;\nlet b =\n  new a:b\n{ ... };",
            "package x:y;\nlet b = new a:b@0.1.0 { ... };",
            "package x:y;\nlet b = (new a:b { ... });\nlet c = new a:c-d@1.2.3-rc.1+x { ... };",
            "package x:y; // = new a:nothing {}\nlet b = new a:b {};",
        ] {
            let composed = compose(text, folder.path());
            assert!(
                composed.as_ref().is_ok_and(|bytes| bytes.starts_with(b"\0asm")),
                "{text}: {composed:?}"
            );
        }
        for (text, expected) in [
            ("package x:y;\nlet b = new a:none { ... };", "none.wasm"),
            ("package x:y;\nlet b = new x:y { ... };", "y.wasm"),
            ("package x:y;\nlet b = ;", "expected"),
        ] {
            let fault = format!("{:#}", compose(text, folder.path()).unwrap_err());
            assert!(fault.contains(expected), "{fault}");
        }
    }
}
