//! Scripts for a server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{sleep, timeout};

use super::{NEEDED, Postgres};
use crate::WAIT_LIMIT;
use crate::home::run;

impl Postgres {
    /// Runs a script with psql, which replaces these variables in it. It stops at the first error.
    pub async fn run_script(&self, script: &Path, variables: &[(&str, &str)]) -> Result<()> {
        timeout(WAIT_LIMIT, self.is_ready()).await.context("PostgreSQL is not ready")??;
        let mut psql = self.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", &self.url()]);
        psql.args(variables.iter().map(|(name, value)| format!("--set={name}={value}")));
        psql.arg("--file").arg(script);
        tokio::task::spawn_blocking(move || run(&mut psql, NEEDED)).await??;
        Ok(())
    }

    /// Waits until the server executes statements: it accepts connections before that, and refuses
    /// them.
    async fn is_ready(&self) -> Result<()> {
        let mut probe = self.client("pg_isready");
        probe.args(["--quiet", "--host", "127.0.0.1", "--port", &self.port.to_string()]);
        let mut probe = tokio::process::Command::from(probe);
        while !probe.status().await.context(NEEDED)?.success() {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.folder.join(program));
        command.env("LD_LIBRARY_PATH", &self.programs.libraries);
        command
    }
}
