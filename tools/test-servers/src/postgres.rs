//! A PostgreSQL server.

mod psql;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command as Run;

use anyhow::{Context as _, Result};
use child_server::{AtDrop, Process, free_port, on_path};
use nix::sys::signal::Signal;
use rustix::process::geteuid;
use tempfile::TempDir;
use tokio::process::Command;

use crate::WAIT_LIMIT;
use crate::debian::unpack_all;
use crate::home::{install, run};

/// The name of Debian's package.
const NAME: &str = "postgresql";

/// The programs that are needed.
const PROGRAMS: [&str; 4] = ["initdb", "postgres", "psql", "pg_isready"];

const NEEDED: &str =
    "PostgreSQL's programs are needed on the PATH, or Debian's apt-get and dpkg-deb";

/// The user and group `nobody`: the server refuses to run as root.
const NOBODY: u32 = 65534;

/// The certificate of a server and its key, as PEM.
pub struct PostgresTls {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// A running server on the loopback interface with the user `test`, its password and a database of
/// this name. It ends when this is dropped, and the data is deleted.
pub struct Postgres {
    // The first field, so that the process has ended before its folder is removed.
    server: Process,
    programs: Programs,
    port: u16,
    is_encrypted: bool,
    folder: TempDir,
}

/// The folder of the installed programs, and that of their libraries.
struct Programs {
    folder: PathBuf,
    libraries: OsString,
}

impl Postgres {
    /// The password of the user `test`.
    pub const PASSWORD: &str = "test-password";

    /// Installs PostgreSQL if it is missing, starts a server and waits until it executes
    /// statements.
    pub async fn start() -> Result<Self> {
        Self::start_with(None).await
    }

    /// The same. With a certificate, the server accepts encrypted connections, too.
    pub async fn start_with(tls: Option<PostgresTls>) -> Result<Self> {
        let is_encrypted = tls.is_some();
        let create = || {
            let programs = Programs::find()?;
            let folder = create(&programs, tls)?;
            anyhow::Ok((programs, folder))
        };
        let (programs, folder) = tokio::task::spawn_blocking(create).await??;
        let port = free_port()?;
        let server = start(&programs, port, is_encrypted, &folder).await?;
        Ok(Self { server, programs, port, is_encrypted, folder })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id; 0 after its end was noticed.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Waits until the server ends unexpectedly. Returns an error that describes this, with the end of
    /// its log.
    pub async fn ended(&mut self) -> anyhow::Error {
        self.server.ended().await
    }

    /// The address of the database, with the user and its password.
    pub fn url(&self) -> String {
        format!("postgres://test:{}@127.0.0.1:{}/test", Self::PASSWORD, self.port)
    }

    /// Ends the server at once, like a crash.
    pub async fn kill(&mut self) -> Result<()> {
        self.server.signal(Signal::SIGQUIT)?;
        self.server.wait().await?;
        Ok(())
    }

    /// Starts the server again with its data, after [`Postgres::kill`].
    pub async fn restart(&mut self) -> Result<()> {
        let Self { programs, port, is_encrypted, folder, .. } = self;
        self.server = start(programs, *port, *is_encrypted, folder).await?;
        Ok(())
    }
}

impl Programs {
    /// Finds PostgreSQL on the PATH or where Debian installs it, or installs Debian's package with
    /// its dependencies.
    fn find() -> Result<Self> {
        if let Some(folder) = on_path(&PROGRAMS).or_else(|| programs_below(Path::new("/")).ok()) {
            return Ok(Self { folder, libraries: OsString::new() });
        }
        let root = |home: &Path| home.join(NAME);
        let root = install(NAME, root, |home| unpack_all(NAME, NEEDED, home))?;
        let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        Ok(Self { folder: programs_below(&root)?, libraries: root.join(libraries).into() })
    }

    /// A program that runs as a user who may run it.
    fn run(&self, program: &str) -> Run {
        use std::os::unix::process::CommandExt as _;
        let mut command = Run::new(self.folder.join(program));
        command.env("LD_LIBRARY_PATH", &self.libraries).env("LC_ALL", "C").current_dir("/");
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

/// The programs of the newest version below `root`.
fn programs_below(root: &Path) -> Result<PathBuf> {
    let versions = root.join("usr/lib/postgresql");
    let entries = fs::read_dir(&versions).with_context(|| versions.display().to_string())?;
    let versions = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let newest = versions.filter(|(_, bin)| PROGRAMS.iter().all(|p| bin.join(p).exists())).max();
    newest.map(|(_, bin)| bin).with_context(|| format!("no server below {}", root.display()))
}

/// Creates a folder with an empty database, which belongs to the user that runs the server.
fn create(programs: &Programs, tls: Option<PostgresTls>) -> Result<TempDir> {
    let folder = TempDir::with_prefix("postgres-")?;
    give(folder.path())?;
    let password = folder.path().join("password");
    write(&password, Postgres::PASSWORD)?;
    if let Some(PostgresTls { certificate, key }) = tls {
        write(&folder.path().join("certificate.pem"), &certificate)?;
        write(&folder.path().join("key.pem"), &key)?;
    }
    let mut command = programs.run("initdb");
    command.args(["--username=test", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]);
    command.args(["--no-sync", "--no-instructions", "--pwfile"]).arg(&password);
    run(command.arg("--pgdata").arg(folder.path().join("data")), NEEDED)?;
    // The mode of a single user creates the database of the user without a running server.
    let mut command = programs.run("postgres");
    command.args(["--single", "-F", "-j", "-D"]).arg(folder.path().join("data")).arg("postgres");
    let script = folder.path().join("create.sql");
    write(&script, "CREATE DATABASE test;\n\n")?;
    command.stdin(fs::File::open(&script)?);
    let output = command.output().context("cannot create the database")?;
    let text = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "cannot create the database: {text}");
    Ok(folder)
}

/// Writes a file that only the server may read.
fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| file.display().to_string())?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    give(file)
}

/// Lets the file or folder belong to the user that runs the server.
fn give(path: &Path) -> Result<()> {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

async fn start(
    programs: &Programs,
    port: u16,
    is_encrypted: bool,
    folder: &TempDir,
) -> Result<Process> {
    let mut command = Command::from(programs.run("postgres"));
    command.arg("-D").arg(folder.path().join("data")).args(["-F", "-p", &port.to_string()]);
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".into(),
        "full_page_writes=off".into(),
        // In files of the folder, which is removed also after a crash.
        "dynamic_shared_memory_type=mmap".into(),
    ];
    if is_encrypted {
        let file = |name: &str| folder.path().join(name).display().to_string();
        settings.push("ssl=on".into());
        settings.push(format!("ssl_cert_file={}", file("certificate.pem")));
        settings.push(format!("ssl_key_file={}", file("key.pem")));
    }
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    let log = folder.path().join("postgres.log");
    // A server that is killed leaves its shared memory in the kernel.
    let mut server = Process::start_with(NAME, command, &log, Some(folder), AtDrop::Quit)?;
    server.wait_until(WAIT_LIMIT, || is_ready(programs, port)).await?;
    Ok(server)
}

/// Whether the server executes statements: it accepts connections before that, and refuses them.
async fn is_ready(programs: &Programs, port: u16) -> bool {
    let mut probe = Command::from(programs.run("pg_isready"));
    probe.args(["--quiet", "--host", "127.0.0.1", "--port", &port.to_string()]);
    probe.status().await.is_ok_and(|status| status.success())
}
