//! A containerd server, which runs containers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::WAIT_LIMIT;
use crate::debian::Package;
use child_server::Process;

/// The server and its command line client.
const CONTAINERD: Package =
    Package { name: "containerd", folder: "usr/bin", programs: &["containerd", "ctr"] };

/// The runtime of containers for which no shim is specified.
const RUNC: Package = Package { name: "runc", folder: "usr/sbin", programs: &["runc"] };

/// A containerd server with its own folders; it is killed when dropped. The containers that it has
/// started keep running, so they must be removed before.
pub struct Containerd {
    process: Process,
    programs: PathBuf,
    folder: TempDir,
}

impl Containerd {
    /// Installs containerd if it is missing, starts it and waits until it answers. It finds shims
    /// in the folder `shims`; `variables` are added to its environment. Requires root.
    pub async fn start(shims: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "only root may start containerd");
        let programs = tokio::task::spawn_blocking(|| CONTAINERD.find()).await??;
        let runc = tokio::task::spawn_blocking(|| RUNC.find()).await??;
        let folder = TempDir::with_prefix("containerd-")?;
        // Only root may connect to it, but the users of its containers must be able to traverse the
        // folder to their files.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
        let config = folder.path().join("config.toml");
        std::fs::write(&config, configuration(folder.path()))?;
        let mut command = Command::new(programs.join("containerd"));
        command.arg("--config").arg(&config);
        command.env("PATH", path([shims, &programs, &runc])?).envs(variables.iter().copied());
        let log = folder.path().join("containerd.log");
        let process = Process::start("containerd", command, &log, Some(&folder))?;
        let mut started = Self { process, programs, folder };
        let (programs, socket) = (started.programs.clone(), started.socket());
        started.process.wait_until(WAIT_LIMIT, || answers(&programs, &socket)).await?;
        Ok(started)
    }

    /// A command that runs `ctr` as its client.
    pub fn ctr(&self) -> std::process::Command {
        ctr(&self.programs, &self.socket())
    }

    /// The log of the server and its shims.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("containerd.log")).unwrap_or_default()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }
}

/// The configuration: all paths are in the folder, and the plugins for Kubernetes are disabled.
fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"#
    )
}

/// The PATH on which containerd finds shims and runc.
fn path(folders: [&Path; 3]) -> Result<std::ffi::OsString> {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.into_iter().map(Path::to_owned);
    Ok(std::env::join_paths(folders.chain(std::env::split_paths(&inherited)))?)
}

fn ctr(programs: &Path, socket: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(programs.join("ctr"));
    command.arg("--address").arg(socket).args(["--namespace", "doorbuster"]);
    command
}

async fn answers(programs: &Path, socket: &Path) -> bool {
    let mut asked = Command::from(ctr(programs, socket));
    asked.args(["--connect-timeout", "1s", "version"]);
    asked.output().await.is_ok_and(|output| output.status.success())
}
