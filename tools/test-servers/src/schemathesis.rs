//! Schemathesis, which tests an HTTP API against its OpenAPI document.

use std::process::Command;

use anyhow::Result;

use crate::home::{install, run};

const VERSION: &str = "4.32.5";

/// A command that runs Schemathesis, which is installed if it is missing.
pub fn schemathesis() -> Result<Command> {
    let folder = format!("schemathesis-{VERSION}");
    let packages = install(
        "schemathesis",
        |home| home.join(&folder),
        |home| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--target"]);
            pip.arg(home.join(&folder)).arg(format!("schemathesis=={VERSION}"));
            run(&mut pip, "Python 3 with pip is needed").map(drop)
        },
    )?;
    let mut command = Command::new("python3");
    command.args(["-m", "schemathesis.cli"]).env("PYTHONPATH", packages);
    Ok(command)
}
