//! Compiled components, kept on disk between starts.
//!
//! A cached component is machine code that this process will run, so no other user may be able to
//! write it. wasmtime identifies an entry by the component's bytes, the engine's settings and its
//! own version, and removes entries that have not been used for a long time.

use std::fs::{DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use wasmtime::{Cache, CacheConfig};

use crate::Error;

/// Size of the user's cache folder above which entries are removed, the least recently used first.
/// The components of `spin.toml` take about 6 MiB.
const FOLDER_BYTES_MAX: u64 = 512 << 20;

/// The name of the user's cache folder.
const FOLDER: &str = "components";

/// Where compiled components are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompileCache {
    /// Nowhere: components are compiled at every start.
    Disabled,
    /// In `doorbuster/components` of the user's folder for caches. If that folder cannot be used,
    /// components are compiled at every start.
    UserFolder,
    /// As this file in wasmtime's format configures it: a table `[cache]` with `directory` and
    /// limits. A file that cannot be used is an error.
    Configured(PathBuf),
}

impl CompileCache {
    pub(crate) fn open(&self) -> Result<Option<Cache>, Error> {
        match self {
            CompileCache::Disabled => Ok(None),
            CompileCache::UserFolder => Ok(open_user_cache()),
            CompileCache::Configured(file) => Cache::from_file(Some(file)).map(Some).map_err(|e| {
                Error::Engine(format!("the compile cache, set up by {}: {e:#}", file.display()))
            }),
        }
    }
}

/// The cache in the user's folder; `None` if it cannot be used. That is not an error, because a
/// container often has no writable folder.
fn open_user_cache() -> Option<Cache> {
    let Some(folder) = user_cache::folder(FOLDER) else {
        tracing::debug!("no compile cache: neither XDG_CACHE_HOME nor HOME names a folder");
        return None;
    };
    let opened = private_folder(&folder).and_then(|()| {
        let mut config = CacheConfig::new();
        config.with_directory(&folder).with_files_total_size_soft_limit(FOLDER_BYTES_MAX);
        Cache::new(config).map_err(|e| format!("{e:#}"))
    });
    opened
        .inspect_err(|error| {
            let folder = folder.display();
            tracing::warn!(%folder, error, "no compile cache: every start compiles the components");
        })
        .ok()
}

/// Creates the folder with access for this user only. A folder that others can write is an error.
fn private_folder(folder: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let metadata = made.and_then(|()| folder.metadata()).map_err(|e| e.to_string())?;
    if is_writable_by_others(&metadata) {
        return Err("users other than the one who runs this program can write to it".into());
    }
    Ok(())
}

fn is_writable_by_others(metadata: &Metadata) -> bool {
    metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        private_folder(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        std::fs::set_permissions(&folder, Permissions::from_mode(0o770)).unwrap();
        let refused = private_folder(&folder).unwrap_err();
        assert!(refused.contains("can write to it"), "{refused}");
    }

    #[test]
    fn a_file_that_configures_nothing_is_an_error() {
        let missing = CompileCache::Configured("/nowhere/cache.toml".into()).open();
        let message = missing.unwrap_err().to_string();
        assert!(message.contains("/nowhere/cache.toml"), "{message}");
        assert!(CompileCache::Disabled.open().unwrap().is_none());
    }
}
