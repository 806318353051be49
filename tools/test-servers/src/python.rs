//! Packages of PyPI.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::home::{install, run};

/// Installs packages into a folder of their own, unless it exists, and returns the folder. `words`
/// are arguments of pip: the requirements, with their versions. Set `PYTHONPATH` to the folder.
pub fn python_packages(name: &str, version: &str, words: &[&str]) -> Result<PathBuf> {
    let folder = format!("{name}-{version}");
    install(
        name,
        |home| home.join(&folder),
        |home| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--target"]);
            pip.arg(home.join(&folder)).args(words);
            run(&mut pip, "Python 3 with pip is needed").map(drop)
        },
    )
}
