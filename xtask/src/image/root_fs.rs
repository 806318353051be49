//! The content of the image.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::layout::Layer;
use super::system;
use crate::pack::{read, stripped};
use crate::profile::Profile;

const PROGRAM: &str = "doorbuster";

/// Certificates of the public certificate authorities, at the path where OpenSSL expects them.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Allows the program to listen on port 80 without root: `CAP_NET_BIND_SERVICE` (bit 10), permitted
/// and effective, as `struct vfs_cap_data` of linux/capability.h, revision 2.
const CAPABILITY: [u32; 5] = [0x0200_0001, 1 << 10, 0, 0, 0];

/// The layers, starting with the one that changes least often.
pub fn layers(profile: Profile, scratch: &Path) -> Result<Vec<Layer>> {
    std::fs::create_dir_all(scratch).with_context(|| scratch.display().to_string())?;
    let mut base = Layer::default();
    for library in libraries(&profile.program(PROGRAM))? {
        base.file(library.trim_start_matches('/'), 0o755, system(&library)?);
    }
    let certificates = system(CERTIFICATES).context("install the package ca-certificates")?;
    base.file(CERTIFICATES.trim_start_matches('/'), 0o644, certificates);
    base.file("etc/nsswitch.conf", 0o644, b"hosts: files dns\n".to_vec());
    base.file("etc/passwd", 0o644, b"doorbuster:x:65532:65532::/:/doorbuster\n".to_vec());
    base.file("etc/group", 0o644, b"doorbuster:x:65532:\n".to_vec());
    let mut program = Layer::default();
    program.file(PROGRAM, 0o755, read(&stripped(profile, PROGRAM, scratch)?)?);
    program.capable(PROGRAM, CAPABILITY.iter().flat_map(|word| word.to_le_bytes()).collect());
    Ok(vec![base, program])
}

/// The shared libraries that the program needs, and the dynamic loader, by the paths in the
/// program.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    let listed = String::from_utf8(output.stdout)?;
    let path =
        |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(Into::into);
    let mut paths: Vec<String> = listed.lines().filter_map(path).collect();
    if !output.status.success() || listed.contains("not found") || paths.is_empty() {
        bail!("ldd {}: {listed}", program.display());
    }
    paths.sort();
    Ok(paths)
}
