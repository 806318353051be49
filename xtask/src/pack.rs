//! Packs files reproducibly: the same content always results in the same bytes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

use crate::profile::Profile;
use crate::run::run;

/// A tar archive that is being built, without times and owners.
pub struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    /// An empty archive.
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds a file with this path and these permissions.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(content.len().try_into()?);
        Ok(self.0.append_data(&mut header, path, content)?)
    }

    /// Adds a folder.
    pub fn folder(&mut self, path: &str) -> Result<()> {
        let mut header = header(tar::EntryType::Directory, 0o755);
        Ok(self.0.append_data(&mut header, path, std::io::empty())?)
    }

    /// Sets an extended attribute of the next file.
    pub fn attribute(&mut self, name: &str, value: &[u8]) -> Result<()> {
        let name = format!("SCHILY.xattr.{name}");
        Ok(self.0.append_pax_extensions([(name.as_str(), value)])?)
    }

    /// The bytes of the archive.
    pub fn finish(self) -> Result<Vec<u8>> {
        Ok(self.0.into_inner()?)
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

/// Compresses without a time and a file name.
pub fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut zip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    zip.write_all(content)?;
    Ok(zip.finish()?)
}

/// The SHA-256 hash in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}

/// A copy of a program without debug information, which is nine tenths of its size.
pub fn stripped(profile: Profile, name: &str, folder: &Path) -> Result<PathBuf> {
    let stripped = folder.join(name);
    let (from, to) = (profile.program(name), stripped.to_string_lossy().into_owned());
    run("strip", &["-S", "-o", &to, &from.to_string_lossy()])?;
    Ok(stripped)
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Writes a file, and creates missing folders.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let place = || path.display().to_string();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(place)?;
    }
    fs::write(path, content).with_context(place)
}

/// The name of this machine's architecture in images.
pub fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("images have no name for the architecture {other}"),
    }
}
