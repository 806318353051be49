//! Draws images with the scripts in `xtask/plots`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::run::{root, run};

/// A virtual environment of Python with the library that draws, which is created once.
pub fn venv() -> Result<PathBuf> {
    let venv = root().join("target/load-report-venv");
    if !can_draw(&venv) {
        run("python3", &["-m", "venv", &text(&venv)])?;
        install(&venv, "xtask/plots/requirements.txt")?;
    }
    Ok(venv)
}

fn can_draw(venv: &Path) -> bool {
    let python = Command::new(venv.join("bin/python")).args(["-c", "import matplotlib"]).output();
    python.is_ok_and(|output| output.status.success())
}

/// Installs the packages of a file.
pub fn install(venv: &Path, requirements: &str) -> Result<()> {
    run(&text(&venv.join("bin/pip")), &["install", "--quiet", "-r", requirements])
}

/// Runs a script of `xtask/plots`.
pub fn draw(script: &str, args: &[&str]) -> Result<()> {
    let script = format!("xtask/plots/{script}");
    run(&text(&venv()?.join("bin/python")), &[&[script.as_str()], args].concat())
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
