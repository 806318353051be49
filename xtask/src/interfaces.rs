//! Checks that released versions of the WIT packages do not change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::pack::sha256;
use crate::run::root;

/// The file with the digests of the released versions.
const RELEASED: &str = "wit/released.toml";

/// Fails if a released version changed or is missing.
pub fn check() -> Result<()> {
    let text = fs::read_to_string(root().join(RELEASED)).context(RELEASED)?;
    let released: BTreeMap<String, String> = toml::from_str(&text).context(RELEASED)?;
    let packages = packages(&root().join("wit"))?;
    for (package, digest) in &released {
        let found = packages.get(package).with_context(|| {
            format!("{RELEASED} contains {package}, which is not in any folder of wit/")
        })?;
        ensure!(
            found == digest,
            "{package} is released and must not change: undo the change or put it into a new \
             version. Its digest is {found}; that in {RELEASED} is {digest}"
        );
    }
    Ok(())
}

/// The digest of each package in the folder, by its name and version.
fn packages(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut packages = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let folder = entry?.path();
        let files = if folder.is_dir() { wit_files(&folder)? } else { Vec::new() };
        let texts = files.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
        let Some(package) = texts.first().and_then(|text| name(text)) else { continue };
        packages.insert(package, digest(&texts));
    }
    Ok(packages)
}

/// The WIT files of the folder, in the order of their names.
fn wit_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wit"));
    paths.sort();
    Ok(paths)
}

/// The name and version in the header of a file: `package NAME;`.
fn name(text: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix("package "));
    Some(lines.next()?.trim_end_matches(';').to_owned())
}

/// The SHA-256 of the files without comments and white space. WIT has no strings, so `//` always
/// begins a comment.
fn digest(texts: &[String]) -> String {
    let lines = texts.iter().flat_map(|text| text.lines());
    let code = lines.filter_map(|line| line.split("//").next());
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    sha256(words.join(" ").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(text: &str) -> String {
        digest(&[text.to_owned()])
    }

    #[test]
    fn released_versions_have_not_changed() {
        check().unwrap();
    }

    #[test]
    fn comments_and_white_space_do_not_count_and_everything_else_does() {
        let original = "package a:b@1.0.0;\ninterface c {\n    /// Says so.\n    d: func();\n}\n";
        let commented = "package a:b@1.0.0;\n\n// A note.\ninterface c {\n  d: func(); // e\n}";
        assert_eq!(digest_of(original), digest_of(commented));
        assert_ne!(digest_of(original), digest_of(&original.replace("d:", "e:")));
        assert_ne!(digest_of(original), digest_of(&original.replace("func()", "async func()")));
        assert_eq!(name(original).as_deref(), Some("a:b@1.0.0"));
    }
}
