//! containerd, which runs containers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::home::{install, run};
use crate::process::Process;

/// Debian's package of it.
const PACKAGE: &str = "containerd";

/// The programs in it that are needed: the server and its command line.
const PROGRAMS: [&str; 2] = ["containerd", "ctr"];

const NEEDED: &str = "containerd is needed on the PATH, or Debian's apt-get and dpkg-deb";

/// Time until it answers.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A containerd with folders of its own; killed when dropped. What it has started goes on: its
/// containers must be removed before.
pub struct Containerd {
    process: Process,
    programs: PathBuf,
    folder: TempDir,
}

impl Containerd {
    /// Installs it if need be, starts it and waits until it answers. It finds shims in the folder
    /// `shims`; `variables` are added to its environment. Only root may.
    pub async fn start(shims: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "only root may start containerd");
        let programs = tokio::task::spawn_blocking(programs).await??;
        let folder = TempDir::with_prefix("containerd-")?;
        // It is to be reached by nobody else, and its containers' users must find their files.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
        let config = folder.path().join("config.toml");
        std::fs::write(&config, configuration(folder.path()))?;
        let mut command = Command::new(programs.join("containerd"));
        command.arg("--config").arg(&config);
        command.env("PATH", path(&programs, shims)?).envs(variables.iter().copied());
        let log = folder.path().join("containerd.log");
        let process = Process::start("containerd", command, &log, Some(&folder))?;
        let mut started = Self { process, programs, folder };
        let (programs, socket) = (started.programs.clone(), started.socket());
        started.process.wait_until(START_LIMIT, || answers(&programs, &socket)).await?;
        Ok(started)
    }

    /// `ctr`, which speaks to it.
    pub fn ctr(&self) -> std::process::Command {
        ctr(&self.programs, &self.socket())
    }

    /// What it and its shims have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("containerd.log")).unwrap_or_default()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }
}

/// The folder with the programs: one on the PATH, else that of Debian's package.
fn programs() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_all = |folder: &PathBuf| PROGRAMS.iter().all(|name| folder.join(name).is_file());
    if let Some(found) = std::env::split_paths(&path).find(has_all) {
        return Ok(found);
    }
    let folder = |home: &Path| home.join(PACKAGE).join("usr/bin");
    let server = install(PACKAGE, |home| folder(home).join("containerd"), unpack)?;
    Ok(server.parent().map(Into::into).unwrap_or_default())
}

/// Downloads the package and unpacks it into a folder of `home`. It is not installed: none of its
/// scripts runs, nothing is started.
fn unpack(home: &Path) -> Result<()> {
    let into = home.join(PACKAGE);
    std::fs::create_dir_all(&into).with_context(|| into.display().to_string())?;
    let mut download = std::process::Command::new("apt-get");
    download.args(["--quiet", "download", PACKAGE]).current_dir(&into);
    if run(&mut download, NEEDED).is_err() {
        // The lists of packages may be old, or missing as in many images.
        run(std::process::Command::new("apt-get").args(["--quiet", "update"]), NEEDED)?;
        run(&mut download, NEEDED)?;
    }
    let package = std::fs::read_dir(&into)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded no package")?;
    run(std::process::Command::new("dpkg-deb").arg("--extract").arg(package).arg(&into), NEEDED)?;
    Ok(())
}

/// Everything in the folder, and nothing that speaks to Kubernetes.
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

/// The PATH on which containerd finds shims.
fn path(programs: &Path, shims: &Path) -> Result<std::ffi::OsString> {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = [shims.to_owned(), programs.to_owned()].into_iter();
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
