//! The folder for cached files of the user, as the XDG Base Directory Specification defines it.

use std::path::{Path, PathBuf};

/// The folder of this program within that of the user.
const OWN: &str = "doorbuster";

/// `$XDG_CACHE_HOME/doorbuster/NAME`, or the same in `$HOME/.cache` if that variable is not set.
/// `None` if neither variable names a folder. The folder may not exist yet.
pub fn folder(name: &str) -> Option<PathBuf> {
    folder_of(Path::new(OWN).join(name).as_path(), |name| std::env::var_os(name).map(PathBuf::from))
}

/// Relative paths are ignored, as the specification requires.
fn folder_of(name: &Path, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_xdg_specification() {
        let folder = |pairs: &[(&str, &str)]| {
            folder_of(Path::new("a/b"), |name| {
                pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into())
            })
        };
        let expected = Some(PathBuf::from("/c/a/b"));
        assert_eq!(folder(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), expected);
        let expected = Some(PathBuf::from("/h/.cache/a/b"));
        assert_eq!(folder(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]), expected);
        assert_eq!(folder(&[("XDG_CACHE_HOME", ""), ("HOME", "")]), None);
        assert_eq!(folder(&[]), None);
    }
}
