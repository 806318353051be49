//! A RabbitMQ node.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use child_server::{Process, accepts, free_port, on_path};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::WAIT_LIMIT;
use crate::debian::unpack_all;
use crate::home::install;

/// The name of Debian's package and of its program.
const NAME: &str = "rabbitmq-server";

const NEEDED: &str = "rabbitmq-server is needed on the PATH, or Debian's apt-get and dpkg-deb";

/// How a node is started.
#[derive(Default)]
pub struct RabbitMqConfig {
    /// With a certificate, the node has a second port, for encrypted connections.
    pub tls: Option<RabbitMqTls>,
    /// Whether the log of quorum queues has files of RabbitMQ's own size, 512 MiB, instead of 16 MiB,
    /// with which the broker needs less memory and less space on the disk.
    pub tuned: bool,
}

/// The certificate of a node and its key, as PEM.
pub struct RabbitMqTls {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// A running node on the loopback interface, with Erlang's port mapper of its own. Both are killed
/// when this is dropped, and the data is deleted.
pub struct RabbitMq {
    // The first fields, so that the processes are killed before their folder is removed.
    node: Process,
    _mapper: Process,
    programs: Programs,
    ports: Ports,
    folder: TempDir,
}

#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    amqps: u16,
    mapper: u16,
    distribution: u16,
}

/// The folders of the installed programs.
struct Programs {
    erlang: PathBuf,
    /// The folder of Erlang's native programs.
    erts: PathBuf,
    rabbitmq: PathBuf,
    /// The folder of libraries that this system does not have.
    libraries: OsString,
}

impl RabbitMq {
    /// Installs RabbitMQ if it is missing, starts a node and waits until it accepts connections.
    pub async fn start(config: RabbitMqConfig) -> Result<Self> {
        let RabbitMqConfig { tls, tuned } = config;
        let programs = tokio::task::spawn_blocking(Programs::find).await??;
        let folder = TempDir::with_prefix("rabbitmq-")?;
        let ports = Ports {
            amqp: free_port()?,
            amqps: free_port()?,
            mapper: free_port()?,
            distribution: free_port()?,
        };
        let mut config = configuration(ports.amqp, tuned);
        if let Some(tls) = tls {
            config += &encrypted(ports.amqps, tls, folder.path())?;
        }
        write(&folder.path().join("rabbitmq.conf"), &config)?;
        let mut mapper = programs.command("epmd", ports, folder.path());
        mapper.args(["-address", "127.0.0.1", "-port"]).arg(ports.mapper.to_string());
        let log = folder.path().join("epmd.log");
        let mut mapper = Process::start("epmd", mapper, &log, None)?;
        mapper.wait_until(WAIT_LIMIT, || accepts(ports.mapper)).await?;
        let node = start_node(&programs, ports, &folder).await?;
        Ok(Self { node, _mapper: mapper, programs, ports, folder })
    }

    /// The port of AMQP.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// `amqp://…`, with the default user and the virtual host `/`.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// `amqps://…`, with the same user, for a node with a certificate.
    pub fn encrypted_url(&self) -> String {
        format!("amqps://guest:guest@127.0.0.1:{}/%2f", self.ports.amqps)
    }

    /// The process id of the node.
    pub fn pid(&self) -> u32 {
        self.node.pid()
    }

    /// Waits until the node ends unexpectedly. Returns an error that describes this, with the end of its
    /// log.
    pub async fn ended(&mut self) -> anyhow::Error {
        self.node.ended().await
    }

    /// Ends the node at once, like a crash.
    pub async fn kill(&mut self) -> Result<()> {
        self.node.kill().await
    }

    /// Ends the node regularly. It writes the declarations of queues to the disk within two seconds or
    /// when it ends; they do not survive a crash before that.
    pub async fn stop(&mut self) -> Result<()> {
        self.node.terminate()?;
        self.node.wait().await?;
        Ok(())
    }

    /// Starts the node again with its data, after [`RabbitMq::stop`] or [`RabbitMq::kill`].
    pub async fn restart(&mut self) -> Result<()> {
        self.node = start_node(&self.programs, self.ports, &self.folder).await?;
        Ok(())
    }

    /// Freezes the node: it accepts connections, but it does not respond.
    pub fn pause(&self) -> Result<()> {
        self.node.signal(Signal::SIGSTOP)
    }

    /// Lets it continue after [`RabbitMq::pause`].
    pub fn resume(&self) -> Result<()> {
        self.node.signal(Signal::SIGCONT)
    }
}

/// Starts Erlang itself instead of the script `rabbitmq-server`, which would stay between this
/// process and the node.
async fn start_node(programs: &Programs, ports: Ports, folder: &TempDir) -> Result<Process> {
    let mut command = programs.command("erlexec", ports, folder.path());
    command.args(["-noinput", "-s", "rabbit", "boot", "-boot", "start_sasl", "+W", "w"]);
    command.args(["+S", "2:2", "+sbwt", "none", "-syslog", "logger", "[]"]);
    command.args(["-syslog", "syslog_error_logger", "false"]);
    command.args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
    let log = folder.path().join("rabbitmq.log");
    let mut node = Process::start("rabbitmq", command, &log, Some(folder))?;
    node.wait_until(WAIT_LIMIT, || accepts(ports.amqp)).await?;
    Ok(node)
}

/// The configuration file. The log of quorum queues has small files, because each file is allocated
/// as a whole.
fn configuration(port: u16, tuned: bool) -> String {
    let mut lines = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         log.console = true\n\
         log.file = false\n\
         disk_free_limit.absolute = 50MB\n"
    );
    if !tuned {
        lines += "raft.wal_max_size_bytes = 16777216\n";
    }
    lines
}

/// Writes the certificate, and returns the lines of the configuration file for it.
fn encrypted(port: u16, tls: RabbitMqTls, folder: &Path) -> Result<String> {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    write(&certificate, &tls.certificate)?;
    write(&key, &tls.key)?;
    Ok(format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\n\
         ssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\n\
         ssl_options.verify = verify_none\n",
        certificate.display(),
        key.display()
    ))
}

fn write(file: &Path, content: &str) -> Result<()> {
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}

impl Programs {
    /// Finds RabbitMQ on the PATH, or installs Debian's package with its dependencies.
    fn find() -> Result<Self> {
        let root = match on_path(&[NAME, "erl"]) {
            Some(_) => PathBuf::from("/"),
            None => {
                let root = |home: &Path| home.join(NAME);
                install(NAME, root, |home| unpack_all(NAME, NEEDED, home))?
            }
        };
        let lib = root.join("usr/lib");
        let erlang = lib.join("erlang");
        Ok(Self {
            erts: newest(&erlang, "erts-")?.join("bin"),
            erlang,
            rabbitmq: newest(&lib.join("rabbitmq/lib"), "rabbitmq_server-")?,
            libraries: lib.join(format!("{}-linux-gnu", std::env::consts::ARCH)).into(),
        })
    }

    /// A program of Erlang in the environment of a node whose data is in this folder.
    fn command(&self, program: &str, ports: Ports, folder: &Path) -> Command {
        let mut command = Command::new(self.erts.join(program));
        let plugins = self.rabbitmq.join("plugins");
        command
            .env("ROOTDIR", &self.erlang)
            .env("BINDIR", &self.erts)
            .env("EMU", "beam")
            .env("PROGNAME", "erl")
            .env("LD_LIBRARY_PATH", &self.libraries)
            // The folder of the cookie.
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", ports.mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_LIBS", &plugins)
            .env("RABBITMQ_HOME", &self.rabbitmq)
            .env("RABBITMQ_PLUGINS_DIR", &plugins)
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_NODENAME", "test@localhost")
            .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"));
        command
    }
}

/// The folder in `parent` whose name begins with `prefix`; the last one, if there are several.
fn newest(parent: &Path, prefix: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent).with_context(|| parent.display().to_string())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    found.pop().with_context(|| format!("{}/{prefix}… does not exist", parent.display()))
}
