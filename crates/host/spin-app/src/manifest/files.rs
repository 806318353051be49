//! Reads `files` and `exclude_files` of a component: finds the files that the patterns match, and
//! the path of each in the component's file system, as Spin does.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use glob::Pattern;

use super::schema;
use crate::files::{FILES_MAX, MountedFile, relative};

/// The most paths that the patterns of a component may match, including folders and excluded files.
const MATCHES_MAX: usize = 10 * FILES_MAX;

/// The files of a component. `root` is the folder of the manifest. The error is a message.
pub(super) fn resolve(
    root: &Path,
    entries: &[schema::Files],
    exclude: &[String],
) -> Result<Vec<MountedFile>, String> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let canonical = root.canonicalize();
    let canonical = canonical.map_err(|error| format!("{}: {error}", root.display()))?;
    let excluded = exclude.iter().map(|text| pattern("exclude_files", text));
    let excluded = excluded.collect::<Result<_, _>>()?;
    let mut found = Found { root: canonical, excluded, files: BTreeMap::new(), matches: 0 };
    entries.iter().try_for_each(|entry| found.add(entry))?;
    let mounted = found.files.into_iter();
    Ok(mounted.map(|(path, source)| MountedFile::local(&source, path)).collect())
}

fn pattern(key: &str, text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| format!("{key}: `{text}`: {error}"))
}

struct Found {
    /// The folder of the manifest, without symbolic links in its path.
    root: PathBuf,
    excluded: Vec<Pattern>,
    /// The files by their path in the component. A later entry replaces an earlier one.
    files: BTreeMap<String, PathBuf>,
    /// How many paths the patterns have matched.
    matches: usize,
}

impl Found {
    fn add(&mut self, entry: &schema::Files) -> Result<(), String> {
        match entry {
            schema::Files::Pattern(text) => self.add_pattern(text),
            schema::Files::Placement { source, destination } => self.add_at(source, destination),
        }
    }

    /// The files that match a pattern keep their paths.
    fn add_pattern(&mut self, text: &str) -> Result<(), String> {
        check_inside(text)?;
        let path = self.root.join(text);
        if path.is_dir() {
            let folder = text.trim_end_matches('/');
            return Err(format!(
                "`{text}` is a folder; write {{ source = \"{folder}\", destination = \
                 \"/{folder}\" }}, or the pattern `{folder}/**/*`"
            ));
        }
        if path.exists() {
            let name = relative(text).ok_or_else(|| format!("`{text}` is no file name"))?;
            return self.insert(path_text(name)?, &path);
        }
        if Pattern::escape(text) == text {
            return Err(format!("`{text}` does not exist"));
        }
        pattern("files", text)?;
        let root = self.root.clone();
        self.add_matches(&format!("{}/{text}", escaped(&root)?), &root, "")
    }

    /// A file, or the files of a folder, at another place.
    fn add_at(&mut self, source: &str, destination: &str) -> Result<(), String> {
        check_inside(source)?;
        let place = destination.trim_start_matches('/');
        let folder = place.trim_end_matches('/');
        if !folder.is_empty() && relative(folder).is_none() {
            return Err(format!("the destination `{destination}` must be a path below `/`"));
        }
        let path = self.root.join(source);
        if path.is_dir() {
            return self.add_matches(&format!("{}/**/*", escaped(&path)?), &path, folder);
        }
        if !path.exists() {
            return Err(format!("`{source}` does not exist"));
        }
        if folder.is_empty() || place.ends_with('/') {
            return Err(format!(
                "the destination `{destination}` of the file `{source}` must end in a file name"
            ));
        }
        self.insert(folder.into(), &path)
    }

    /// Adds the files that match, with their paths relative to `from`, below the folder `to`.
    fn add_matches(&mut self, pattern: &str, from: &Path, to: &str) -> Result<(), String> {
        let paths = glob::glob(pattern).map_err(|error| error.to_string())?;
        for path in paths {
            let path = path.map_err(|error| error.to_string())?;
            self.matches += 1;
            if self.matches > MATCHES_MAX {
                return Err(format!("more than {MATCHES_MAX} files and folders match; name fewer"));
            }
            let in_root = path.strip_prefix(&self.root).unwrap_or(&path);
            if !path.is_file() || self.excluded.iter().any(|e| e.matches_path(in_root)) {
                continue;
            }
            let name = path_text(path.strip_prefix(from).unwrap_or(&path))?;
            let name = if to.is_empty() { name } else { format!("{to}/{name}") };
            self.insert(name, &path)?;
        }
        Ok(())
    }

    fn insert(&mut self, name: String, path: &Path) -> Result<(), String> {
        let target = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
        if !target.starts_with(&self.root) {
            return Err(format!(
                "{} is a symbolic link to {}, which is outside of the application's folder",
                path.display(),
                target.display()
            ));
        }
        // Opening a named pipe would wait for a writer.
        if !target.is_file() {
            return Err(format!("{} is neither a file nor a folder", path.display()));
        }
        self.files.insert(name, target);
        if self.files.len() > FILES_MAX {
            return Err(format!("there are more than {FILES_MAX} files; name fewer"));
        }
        Ok(())
    }
}

/// Rejects a path that leaves the application's folder.
fn check_inside(text: &str) -> Result<(), String> {
    let is_inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if text.is_empty() || !Path::new(text).components().all(is_inside) {
        return Err(format!("`{text}` must be a path in the application's folder, without `..`"));
    }
    Ok(())
}

/// The path as a pattern that matches only itself.
fn escaped(path: &Path) -> Result<String, String> {
    path_text(path).map(|text| Pattern::escape(&text))
}

fn path_text(path: &Path) -> Result<String, String> {
    let text = path.to_str().ok_or_else(|| format!("{}: not UTF-8", path.display()))?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// An application's folder in a folder with a file that does not belong to it.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("a[b]").tempdir().unwrap();
        for file in
            ["app/a.txt", "app/static/x.html", "app/static/deep/y.css", "app/static/key.pem", "out"]
        {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        symlink("../out", folder.path().join("app/link")).unwrap();
        symlink("a.txt", folder.path().join("app/inner")).unwrap();
        folder
    }

    fn found(
        folder: &tempfile::TempDir,
        files: &str,
        exclude: &[&str],
    ) -> Result<Vec<String>, String> {
        #[derive(serde::Deserialize)]
        struct Entries {
            files: Vec<schema::Files>,
        }
        let entries: Entries = toml::from_str(&format!("files = {files}")).unwrap();
        let exclude: Vec<String> = exclude.iter().map(ToString::to_string).collect();
        let found = resolve(&folder.path().join("app"), &entries.files, &exclude)?;
        Ok(found
            .iter()
            .map(|file| {
                let content = String::from_utf8(file.read().unwrap().into_owned()).unwrap();
                format!("{}={content}", file.path())
            })
            .collect())
    }

    #[test]
    fn patterns_and_placements_give_the_paths_of_spin() {
        let folder = folder();
        for (files, exclude, expected) in [
            (r#"["a.txt"]"#, &[][..], &["a.txt=app/a.txt"][..]),
            (r#"["inner"]"#, &[], &["inner=app/a.txt"]),
            (r#"["static/*"]"#, &["**/*.pem"], &["static/x.html=app/static/x.html"]),
            (
                r#"["static/**/*.css", "*.txt"]"#,
                &[],
                &["a.txt=app/a.txt", "static/deep/y.css=app/static/deep/y.css"],
            ),
            (
                r#"[{ source = "static", destination = "/" }]"#,
                &["static/key.pem"],
                &["deep/y.css=app/static/deep/y.css", "x.html=app/static/x.html"],
            ),
            (
                r#"[{ source = "static/deep", destination = "/a/b/" }]"#,
                &[],
                &["a/b/y.css=app/static/deep/y.css"],
            ),
            // The last one counts. An exclusion does not apply to a file that is named.
            (
                r#"["a.txt", { source = "static/x.html", destination = "a.txt" }]"#,
                &["**/*"],
                &["a.txt=app/static/x.html"],
            ),
            (r#"["*.none"]"#, &[], &[]),
        ] {
            let found = found(&folder, files, exclude).unwrap();
            assert_eq!(found, expected, "{files}");
        }
    }

    #[test]
    fn nothing_outside_of_the_folder_is_read() {
        let folder = folder();
        for (files, expected) in [
            (r#"["../out"]"#, "without `..`"),
            (r#"["static/../../out"]"#, "without `..`"),
            (r#"["/etc/hostname"]"#, "without `..`"),
            (r#"[{ source = "..", destination = "/" }]"#, "without `..`"),
            (r#"["link"]"#, "symbolic link"),
            (r#"["*"]"#, "symbolic link"),
            (r#"[{ source = "link", destination = "/x" }]"#, "symbolic link"),
            (r#"[{ source = "static", destination = "/../x" }]"#, "below `/`"),
        ] {
            let fault = found(&folder, files, &[]).unwrap_err();
            assert!(fault.contains(expected), "{files}: {fault}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = folder();
        let _socket = UnixListener::bind(folder.path().join("app/socket")).unwrap();
        for (files, expected) in [
            (r#"["static"]"#, "`static/**/*`"),
            (r#"["none.txt"]"#, "`none.txt` does not exist"),
            (r#"["a***"]"#, "`a***`"),
            (r#"["socket"]"#, "neither"),
            (r#"[{ source = "socket", destination = "/x" }]"#, "neither"),
            (r#"[{ source = "none", destination = "/" }]"#, "`none` does not exist"),
            (r#"[{ source = "a.txt", destination = "/" }]"#, "file name"),
            (r#"[{ source = "a.txt", destination = "/x/" }]"#, "file name"),
        ] {
            let fault = found(&folder, files, &[]).unwrap_err();
            assert!(fault.contains(expected), "{files}: {fault}");
        }
        let fault = found(&folder, r#"["a.txt"]"#, &["a***"]).unwrap_err();
        assert!(fault.contains("exclude_files"), "{fault}");
    }
}
