//! Checks that released versions of the WIT packages do not change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::pack::sha256;
use crate::run::root;

/// The file with the digests of the released versions.
const RELEASED: &str = "wit/released.toml";

/// Fails if a released version changed or is missing.
pub fn check() -> Result<()> {
    let text = fs::read_to_string(root().join(RELEASED)).context(RELEASED)?;
    let released: BTreeMap<String, String> = toml::from_str(&text).context(RELEASED)?;
    compare(&released, &packages(&root().join("wit"))?)
}

/// Compares the packages with the released ones.
fn compare(released: &BTreeMap<String, String>, packages: &BTreeMap<String, String>) -> Result<()> {
    for (package, digest) in released {
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
        let digest = digest(&texts).with_context(|| folder.display().to_string())?;
        if packages.insert(package.clone(), digest).is_some() {
            bail!("{} and another folder contain {package}", folder.display());
        }
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
/// begins a comment. A comment of the other form, `/*`, is refused.
fn digest(texts: &[String]) -> Result<String> {
    ensure!(!texts.iter().any(|text| text.contains("/*")), "write comments with `//` or `///`");
    let lines = texts.iter().flat_map(|text| text.lines());
    let code = lines.filter_map(|line| line.split("//").next());
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    Ok(sha256(words.join(" ").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(text: &str) -> String {
        digest(&[text.to_owned()]).unwrap()
    }

    #[test]
    fn released_versions_have_not_changed() {
        check().unwrap();
    }

    #[test]
    fn a_changed_and_a_missing_package_are_refused() {
        let list = |items: &[(&str, &str)]| -> BTreeMap<String, String> {
            items.iter().map(|(name, digest)| ((*name).into(), (*digest).into())).collect()
        };
        let released = list(&[("a:b@1.0.0", "1"), ("a:b@1.1.0", "2")]);
        let found = list(&[("a:b@1.0.0", "1"), ("a:b@1.1.0", "2"), ("a:b@1.2.0", "3")]);
        compare(&released, &found).unwrap();
        let changed = list(&[("a:b@1.0.0", "1"), ("a:b@1.1.0", "4")]);
        let error = compare(&released, &changed).unwrap_err().to_string();
        assert!(error.contains("a:b@1.1.0 is released and must not change"), "{error}");
        let error = compare(&released, &list(&[("a:b@1.0.0", "1")])).unwrap_err().to_string();
        assert!(error.contains("a:b@1.1.0, which is not in any folder"), "{error}");
    }

    #[test]
    fn a_package_in_two_folders_and_a_block_comment_are_refused() {
        let folder = std::env::temp_dir().join(format!("xtask-wit-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            fs::create_dir_all(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("a.wit"), text).unwrap();
            packages(&folder).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(write("one", "package a:b@1.0.0;\n").unwrap().len(), 1);
        let error = write("two", "package a:b@1.0.0;\n").unwrap_err();
        assert!(error.contains("another folder contain a:b@1.0.0"), "{error}");
        fs::remove_dir_all(folder.join("two")).unwrap();
        let error = write("three", "package a:c@1.0.0;\n/* no */\n").unwrap_err();
        assert!(error.contains("three: write comments"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
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
