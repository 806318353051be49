//! `doorbuster compose`: composes components into one with a .wac file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use composition::Error;

/// Compose components into one component with a .wac file.
#[derive(clap::Args)]
pub struct Args {
    /// File with the composition, in the WAC language.
    composition: PathBuf,
    /// Folder of the components: the package `ns:my-name` is the file `my_name.wasm`.
    #[arg(long, value_name = "DIR")]
    components: PathBuf,
    /// File to which the composed component is written.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Composes and writes the result.
pub fn run(args: &Args) -> Result<()> {
    let file = args.composition.display();
    let text =
        fs::read_to_string(&args.composition).with_context(|| format!("cannot read {file}"))?;
    let composed = composition::compose(&text, |name| read(name, &args.components));
    let bytes = composed.with_context(|| file.to_string())?;
    fs::write(&args.output, bytes)
        .with_context(|| format!("cannot write {}", args.output.display()))
}

/// Reads the component `my_name.wasm` for the package `ns:my-name`.
fn read(name: &str, folder: &Path) -> Result<Vec<u8>, Error> {
    let short = name.rsplit(':').next().unwrap_or(name);
    let path = folder.join(format!("{}.wasm", short.replace('-', "_")));
    fs::read(&path).map_err(|error| Error::Package {
        name: name.into(),
        reason: format!("cannot read {}: {error}", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c_d.wasm"), "component").unwrap();
        assert_eq!(read("a:c-d", folder.path()), Ok(b"component".to_vec()));
        let fault = read("a:none", folder.path()).unwrap_err().to_string();
        assert!(fault.contains("none.wasm") && fault.contains("`a:none`"), "{fault}");
    }
}
