//! Scripts for a server.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{NEEDED, Postgres};
use crate::home::run;

impl Postgres {
    /// Runs a script with psql, which replaces these variables in it. It stops at the first error.
    pub async fn run_script(&self, script: &Path, variables: &[(&str, &str)]) -> Result<()> {
        let mut psql = Command::new(self.programs.folder.join("psql"));
        psql.env("LD_LIBRARY_PATH", &self.programs.libraries);
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", &self.url()]);
        psql.args(variables.iter().map(|(name, value)| format!("--set={name}={value}")));
        psql.arg("--file").arg(script);
        tokio::task::spawn_blocking(move || run(&mut psql, NEEDED)).await??;
        Ok(())
    }
}
