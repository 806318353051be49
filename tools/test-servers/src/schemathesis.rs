//! Schemathesis, which tests an HTTP API against its OpenAPI document.

use std::process::Command;

use anyhow::Result;

use crate::python::python_packages;

const VERSION: &str = "4.32.5";

/// A command that runs Schemathesis, which is installed if it is missing.
pub fn schemathesis() -> Result<Command> {
    let requirement = format!("schemathesis=={VERSION}");
    let packages = python_packages("schemathesis", VERSION, &[&requirement])?;
    let mut command = Command::new("python3");
    command.args(["-m", "schemathesis.cli"]).env("PYTHONPATH", packages);
    Ok(command)
}
