//! The files of a component. They are copied into a temporary folder, which every instance of the
//! component may read and none may write.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use spin_app::app::Component;
use spin_app::files::{FILE_BYTES_MAX, FILES_MAX, MountedFile};
use tempfile::TempDir;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// The path of the copied files in the component, as in Spin.
const ROOT: &str = "/";

/// The folders that the instances of a component may read.
pub(crate) struct ReadableFolders {
    /// The open folders.
    filesystem: WasiFilesystemCtx,
    /// The copies are removed with the last instance.
    _copies: Option<Copies>,
}

impl ReadableFolders {
    /// Copies the files of the component. The folders among them, which Spin has copied, are
    /// used as they are. The error is a message.
    pub fn new(component: &Component) -> Result<Self, String> {
        let (mut folders, mut copies) = (WasiCtxBuilder::new(), None);
        for file in &component.files {
            match file.local_path().filter(|path| path.is_dir()) {
                Some(folder) => open(&mut folders, &folder, file.path())?,
                None => match &mut copies {
                    Some(copies) => copies,
                    none => none.insert(Copies::new()?),
                }
                .add(file)?,
            }
        }
        if let Some(copies) = &copies {
            open(&mut folders, copies.folder.path(), ROOT)?;
        }
        Ok(Self { filesystem: folders.build().filesystem().clone(), _copies: copies })
    }

    /// The folders for an instance.
    pub fn filesystem(&self) -> WasiFilesystemCtx {
        self.filesystem.clone()
    }
}

/// Opens a folder that has this path in the component.
fn open(folders: &mut WasiCtxBuilder, folder: &Path, path: &str) -> Result<(), String> {
    let opened = folders.preopened_dir(folder, path, FsPerms::ReadOnly);
    opened.map(drop).map_err(|error| format!("files: cannot open {}: {error:#}", folder.display()))
}

struct Copies {
    folder: TempDir,
    /// Holds a lock of the folder: systemd removes old files from temporary folders, except in
    /// those that are locked.
    _lock: File,
    files: usize,
    bytes: u64,
}

impl Copies {
    fn new() -> Result<Self, String> {
        let place = std::env::temp_dir();
        let fault = |error: io::Error| {
            format!(
                "files: cannot create a folder in {}: {error}; set TMPDIR to a folder that can be \
                 written",
                place.display()
            )
        };
        let folder =
            tempfile::Builder::new().prefix("doorbuster-files-").tempdir().map_err(fault)?;
        let lock = File::open(folder.path()).map_err(fault)?;
        // Not every file system has locks. Then the files are removed when they are old, if a
        // program does that.
        let _ = lock.try_lock_shared();
        Ok(Self { folder, _lock: lock, files: 0, bytes: 0 })
    }

    fn add(&mut self, file: &MountedFile) -> Result<(), String> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(format!("files: there are more than {FILES_MAX}"));
        }
        let name = file.relative_path();
        let name =
            name.ok_or_else(|| format!("files: `{}` is not a relative path", file.path()))?;
        let fault = |error: io::Error| format!("files: cannot copy {file}: {error}");
        let to = self.folder.path().join(name);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(fault)?;
        }
        let left = FILE_BYTES_MAX - self.bytes;
        let copied = match file.local_path() {
            Some(from) => copy(&from, &to, left).map_err(fault)?,
            None => {
                let content = file.read()?;
                let length = content.len() as u64;
                if length <= left {
                    fs::write(&to, content).map_err(fault)?;
                }
                length
            }
        };
        if copied > left {
            return Err(format!("files: they have more than {FILE_BYTES_MAX} bytes"));
        }
        self.bytes += copied;
        Ok(())
    }
}

/// Copies at most one byte more than `max`. Returns the number of bytes.
fn copy(from: &Path, to: &Path, max: u64) -> io::Result<u64> {
    // Checked before it is opened, because opening a named pipe waits for a writer.
    if !fs::metadata(from)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    io::copy(&mut File::open(from)?.take(max + 1), &mut File::create(to)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spin_app::app::Source;

    fn component(files: Vec<MountedFile>) -> Component {
        let json = serde_json::json!({
            "id": "c",
            "source": Source::file(Path::new("/c.wasm")),
            "files": files,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn copies_live_as_long_as_the_component() {
        let place = tempfile::tempdir().unwrap();
        let local = place.path().join("x.txt");
        fs::write(&local, "local").unwrap();
        let files = vec![
            MountedFile::local(&local, "a/x.txt".into()),
            MountedFile::inline(b"inline", "sha256:1".into(), "y.txt".into()),
            MountedFile::local(place.path(), "/direct".into()),
        ];
        let folders = ReadableFolders::new(&component(files)).unwrap();
        let copies = folders._copies.as_ref().unwrap().folder.path().to_owned();
        assert_eq!(fs::read(copies.join("a/x.txt")).unwrap(), b"local");
        assert_eq!(fs::read(copies.join("y.txt")).unwrap(), b"inline");
        assert!(!copies.join("direct").exists());
        assert!(File::open(&copies).unwrap().try_lock().is_err(), "the folder is locked");
        drop(folders);
        assert!(!copies.exists() && local.exists());
    }

    #[test]
    fn a_file_that_cannot_be_copied_is_named() {
        let inline = |path: &str| MountedFile::inline(b"", "sha256:1".into(), path.into());
        for (files, expected) in [
            (vec![inline("../x")], "`../x`"),
            (vec![inline("/x")], "`/x`"),
            (vec![inline("x"), inline("x/y")], "x/y"),
            (vec![MountedFile::local(Path::new("/missing/x"), "x".into())], "/missing/x"),
            (vec![MountedFile::local(Path::new("/dev/zero"), "x".into())], "no file"),
            (vec![MountedFile::layer("sha256:1".into(), "x".into())], "no content"),
        ] {
            let fault = ReadableFolders::new(&component(files)).err().unwrap();
            assert!(fault.contains(expected), "{fault}");
        }
    }

    #[test]
    fn the_size_is_limited() {
        let place = tempfile::tempdir().unwrap();
        let large = place.path().join("large");
        File::create(&large).unwrap().set_len(100).unwrap();
        assert_eq!(copy(&large, &place.path().join("copy"), 100).unwrap(), 100);
        assert_eq!(copy(&large, &place.path().join("copy"), 10).unwrap(), 11);
        let mut copies = Copies::new().unwrap();
        copies.bytes = FILE_BYTES_MAX - 99;
        let fault = copies.add(&MountedFile::local(&large, "x".into())).unwrap_err();
        assert!(fault.contains("more than"), "{fault}");
    }
}
