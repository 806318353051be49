//! A registry for artifacts and images.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Blocking;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::WAIT_LIMIT;
use crate::debian::Package;
use crate::home::{install, run};
use child_server::Process;
use child_server::free_port;

/// The Go module of the registry's program.
const MODULE: &str = "github.com/distribution/distribution/v3/cmd/registry@v3.0.0";

/// Debian's package of the same program.
const PACKAGE: Package =
    Package { name: "docker-registry", folder: "usr/bin", programs: &["docker-registry"] };

/// The user and the password `secret`, hashed by bcrypt with the lowest cost.
const HTPASSWD: &str = "ana:$2b$04$FL3iNwQHpVW3MFFqIUsPPudTJq1YmImFAiCch4aETHOM64AMAiziK\n";

/// A running registry on the loopback interface, over plain HTTP. It is killed when dropped, and
/// its data is deleted.
pub struct Registry {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Registry {
    /// The only user of a registry with authentication.
    pub const USER: &str = "ana";
    /// The password of [`Registry::USER`].
    pub const PASSWORD: &str = "secret";

    /// Installs the program if it is missing, starts it and waits until it answers. If `closed` is
    /// true, requests require the user and the password.
    pub async fn start(closed: bool) -> Result<Self> {
        let folder = TempDir::with_prefix("registry-")?;
        let port = free_port()?;
        let binary = tokio::task::spawn_blocking(binary).await??;
        let config = folder.path().join("config.yml");
        write(&config, &configuration(folder.path(), port, closed))?;
        write(&folder.path().join("htpasswd"), HTPASSWD)?;
        let mut command = Command::new(binary);
        command.arg("serve").arg(&config);
        let log = folder.path().join("registry.log");
        let mut process = Process::start("registry", command, &log, Some(&folder))?;
        let answers = || async move { TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
        process.wait_until(WAIT_LIMIT, answers).await?;
        Ok(Self { process, port, _folder: folder })
    }

    /// `127.0.0.1:PORT`, the first part of references to this registry.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Stops it.
    pub async fn stop(self) -> Result<()> {
        self.process.stop().await
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn configuration(folder: &Path, port: u16, closed: bool) -> String {
    let folder = folder.display();
    let access = if closed {
        format!("auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n")
    } else {
        String::new()
    };
    format!(
        "version: 0.1\nlog: {{level: warn}}\n\
         storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n\
         http: {{addr: \"127.0.0.1:{port}\"}}\n{access}"
    )
}

/// The program on the PATH or from Debian's package. If neither exists, it is built with Go, which
/// takes minutes.
fn binary() -> Result<PathBuf> {
    if let Ok(folder) = PACKAGE.find() {
        return Ok(folder.join(PACKAGE.name));
    }
    let file = |home: &Path| home.join("registry/registry");
    install("registry", file, |home| {
        let mut command = Blocking::new("go");
        command.args(["install", MODULE]).env("GOBIN", home.join("registry"));
        run(&mut command, "Go is needed, or a docker-registry on the PATH").map(|_| ())
    })
}
