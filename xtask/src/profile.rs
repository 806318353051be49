//! The compiler profiles, and the folders of their results.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::run::root;

/// A pair of Cargo profiles: one for native code, one for components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Fast compilation, for tests and `cargo xtask up`. Links the system's OpenSSL if there is
    /// one.
    Dev,
    /// Fast code, for programs that are shipped or measured. Compiles the OpenSSL that Cargo.lock
    /// contains, so that the programs run on systems without one.
    Release,
}

impl Profile {
    /// The arguments of Cargo for native packages: `COMMAND… REST…`.
    pub fn native<'a>(self, command: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
        let mut args = command.to_vec();
        if self == Profile::Release {
            args.push("--release");
        }
        if self == Profile::Release || !system_has_openssl() {
            args.extend(["--features", "workspace-hack/vendored-openssl"]);
        }
        args.extend(rest);
        args
    }

    /// Cargo's profile for components, and the name of its folder.
    pub fn components(self) -> (&'static str, &'static str) {
        match self {
            Profile::Dev => ("dev", "debug"),
            Profile::Release => ("wasm", "wasm"),
        }
    }

    /// The path of a native program.
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
