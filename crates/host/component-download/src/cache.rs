//! Downloaded components, kept on disk between starts.
//!
//! The name of a file is the digest of its content, which is computed again when it is read. So it does
//! not matter who can write to the folder.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use tempfile::NamedTempFile;

use crate::digest;

/// The name of the user's cache folder.
const FOLDER: &str = "downloads";

/// Size of the folder above which files are removed, the least recently used first.
const FOLDER_BYTES_MAX: u64 = 1 << 30;

/// A folder with downloaded components.
#[derive(Clone)]
pub struct Cache {
    folder: PathBuf,
    bytes_max: u64,
}

impl Cache {
    /// The folder `doorbuster/downloads` of the user; `None` if the user has no folder for caches.
    pub fn of_user() -> Option<Self> {
        user_cache::folder(FOLDER).map(Self::at)
    }

    pub fn at(folder: PathBuf) -> Self {
        Self { folder, bytes_max: FOLDER_BYTES_MAX }
    }

    fn file(&self, digest: &str) -> PathBuf {
        self.folder.join(digest.replace(':', "-")).with_extension("wasm")
    }

    /// The content with this digest. `None` if it is missing, damaged, or larger than `bytes_max`.
    pub fn read(&self, digest: &str, bytes_max: usize) -> Option<Bytes> {
        let path = self.file(digest);
        let file = File::open(&path).ok()?;
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        let mut content = Vec::new();
        Read::take(&file, limit).read_to_end(&mut content).ok()?;
        if content.len() > bytes_max || digest::of(&content) != digest {
            tracing::warn!(path = %path.display(), "a cached component is damaged or too large");
            return None;
        }
        // The time says how recently it was used. Without it, it is only removed earlier.
        let _ = file.set_modified(SystemTime::now());
        Some(content.into())
    }

    /// Stores content with this digest. A failure is only logged, because a container often has no
    /// writable folder.
    pub fn write(&self, digest: &str, content: &[u8]) {
        if let Err(error) = self.store(digest, content) {
            let folder = self.folder.display();
            tracing::warn!(%folder, %error, "a downloaded component is not kept for the next start");
        }
    }

    fn store(&self, digest: &str, content: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = NamedTempFile::new_in(&self.folder)?;
        file.write_all(content)?;
        let path = self.file(digest);
        file.persist(&path).map_err(|error| error.error)?;
        self.remove_oldest(&path)
    }

    /// Removes files until the others are small enough, but not the one that was just written.
    fn remove_oldest(&self, new: &Path) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let data = entry.metadata()?;
            files.push((data.modified()?, data.len(), entry.path()));
        }
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        files.sort();
        for (_, size, path) in files {
            if bytes <= self.bytes_max {
                break;
            }
            if path != new {
                fs::remove_file(path)?;
                bytes -= size;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_least_recently_used_component_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { folder: folder.path().into(), bytes_max: 8 };
        let contents: [&[u8]; 3] = [b"one", b"two", b"three"];
        let [one, two, three] = contents.map(digest::of);
        let write = |age: u64, digest: &str, content: &[u8]| {
            cache.write(digest, content);
            let time = SystemTime::now() - Duration::from_secs(age);
            File::open(cache.file(digest)).unwrap().set_modified(time).unwrap();
        };
        write(200, &one, contents[0]);
        write(100, &two, contents[1]);
        assert_eq!(cache.read(&one, 3).unwrap(), contents[0]);
        write(0, &three, contents[2]);
        assert!(cache.read(&two, 9).is_none(), "it was used before the others");
        assert!(cache.read(&one, 9).is_some() && cache.read(&three, 9).is_some());
        assert!(cache.read(&three, 4).is_none(), "it is larger");
    }
}
