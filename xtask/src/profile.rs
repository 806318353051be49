//! How code is compiled, and where the results lie.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::run::root;

/// A choice of Cargo profiles: one for native code, one for components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Compiles quickly: for tests and `cargo xtask up`. Links the system's OpenSSL if there is
    /// one.
    Dev,
    /// Compiles for speed: for what is shipped or measured. Compiles the OpenSSL that Cargo.lock
    /// names, so that the programs run where none is installed.
    Release,
}

impl Profile {
    /// `COMMAND… REST…` of Cargo, on native packages.
    pub fn native<'a>(self, command: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
        let mut args = command.to_vec();
        if self == Profile::Release {
            args.push("--release");
        }
        if self == Profile::Release || !system_has_openssl() {
            args.extend(["--features", "shared-features/vendored-openssl"]);
        }
        args.extend(rest);
        args
    }

    /// Cargo's profile of components, and the folder that Cargo gives it.
    pub fn components(self) -> (&'static str, &'static str) {
        match self {
            Profile::Dev => ("dev", "debug"),
            Profile::Release => ("wasm", "wasm"),
        }
    }

    /// A native program.
    pub fn program(self, name: &str) -> PathBuf {
        let folder = match self {
            Profile::Dev => "debug",
            Profile::Release => "release",
        };
        root().join("target").join(folder).join(name)
    }
}

/// Whether openssl-sys will find the headers and the libraries.
fn system_has_openssl() -> bool {
    let mut find = Command::new("pkg-config");
    find.args(["--exists", "openssl"]).stdout(Stdio::null()).stderr(Stdio::null());
    find.status().is_ok_and(|status| status.success())
}
