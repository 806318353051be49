//! The files that a component may read.

use std::borrow::Cow;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::Url;

/// The most files of a component.
pub const FILES_MAX: usize = 10_000;

/// The most bytes of all files of a component.
pub const FILE_BYTES_MAX: u64 = 512 << 20;

/// An entry of a component's `files` in a locked application: a file, or a folder that exists on
/// this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedFile {
    /// The URL of the file or folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The content in base64. Artifacts contain small files in this form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inline: Option<String>,
    /// The digest of an artifact's layer, `sha256:…`. A file in `inline` may have one, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The content of the layer, if it is loaded.
    #[serde(skip)]
    content: Option<Bytes>,
    /// The path that the component uses. Those of files are relative to the root.
    path: String,
}

impl MountedFile {
    /// The file or folder at `source`, which must be absolute.
    pub fn local(source: &Path, path: String) -> Self {
        let source = Url::from_file_path(source).ok().map(Into::into);
        Self { source, inline: None, digest: None, content: None, path }
    }

    /// A file whose content is the layer with this digest. It must be set before it is read.
    pub fn layer(digest: String, path: String) -> Self {
        Self { source: None, inline: None, digest: Some(digest), content: None, path }
    }

    /// A small file with its digest.
    pub fn inline(content: &[u8], digest: String, path: String) -> Self {
        let inline = Some(BASE64_STANDARD.encode(content));
        Self { source: None, inline, digest: Some(digest), content: None, path }
    }

    /// The path that the component uses.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path as a relative one that does not leave its folder; `None` if it is no such path.
    pub fn relative_path(&self) -> Option<&Path> {
        relative(&self.path)
    }

    /// The file or folder on this machine.
    pub fn local_path(&self) -> Option<PathBuf> {
        Url::parse(self.source.as_deref()?).ok()?.to_file_path().ok()
    }

    /// The digest of the layer with the content; `None` if the content is here.
    pub fn missing_layer(&self) -> Option<&str> {
        let is_here = self.source.is_some() || self.inline.is_some() || self.content.is_some();
        self.digest.as_deref().filter(|_| !is_here)
    }

    /// Sets the content of the layer.
    pub fn set_content(&mut self, content: Bytes) {
        self.content = Some(content);
    }

    /// Reads the content of a file. The error is a message.
    pub fn read(&self) -> Result<Cow<'_, [u8]>, String> {
        if let Some(content) = &self.content {
            return Ok(Cow::Borrowed(content));
        }
        if let Some(inline) = &self.inline {
            let decoded = BASE64_STANDARD.decode(inline).map(Cow::Owned);
            return decoded.map_err(|error| format!("{self}: not base64: {error}"));
        }
        let path = self.local_path().ok_or_else(|| format!("{self}: there is no content"))?;
        std::fs::read(&path).map(Cow::Owned).map_err(|error| format!("cannot read {self}: {error}"))
    }
}

/// Names the file by its place on this machine, or by its path.
impl fmt::Display for MountedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.local_path() {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str(&self.path),
        }
    }
}

/// The path, if it consists of names only: joined with a folder, it is inside of that folder.
pub(crate) fn relative(path: &str) -> Option<&Path> {
    let path = Path::new(path);
    let is_name = |component| matches!(component, Component::Normal(_));
    (path.components().next().is_some() && path.components().all(is_name)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_does_not_leave_its_folder() {
        for (path, expected) in [
            ("a", true),
            ("a/b.txt", true),
            ("a/./b", true),
            ("", false),
            ("/", false),
            ("/a", false),
            ("../a", false),
            ("a/../../b", false),
            ("./a", false),
        ] {
            assert_eq!(relative(path).is_some(), expected, "{path}");
        }
    }

    #[test]
    fn entries_are_those_of_spin() {
        for json in [
            r#"{"source":"file:///app/assets/c","path":"/"}"#,
            r#"{"inline":"aGk=","digest":"sha256:1","path":"a/b"}"#,
            r#"{"digest":"sha256:1","path":"a/b"}"#,
        ] {
            let file: MountedFile = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&file).unwrap(), json);
        }
        let file = MountedFile::inline(b"hi", "sha256:1".into(), "a".into());
        assert_eq!(*file.read().unwrap(), *b"hi");
        let mut layer = MountedFile::layer("sha256:2".into(), "a".into());
        assert_eq!(layer.missing_layer(), Some("sha256:2"));
        assert!(layer.read().is_err());
        layer.set_content(Bytes::from_static(b"layer"));
        assert_eq!(layer.missing_layer(), None);
        assert_eq!(*layer.read().unwrap(), *b"layer");
    }
}
