//! Containers in a containerd that the test starts, run by the shim as `cargo xtask shim` packs it,
//! or by runc.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pipeline_tests::{Client, eventually, root};
use tempfile::NamedTempFile;
use test_servers::{Containerd, free_port};
use tokio::process::Child;

const RUNTIME: &str = "io.containerd.doorbuster.v1";
const RUNC: &str = "io.containerd.runc.v2";

/// Copies the files of an image, because overlays are not supported by all file systems.
const SNAPSHOTTER: [&str; 2] = ["--snapshotter", "native"];

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A running containerd.
#[derive(Clone)]
pub struct Node(Arc<Containerd>);

impl Node {
    /// Starts containerd with these environment variables.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        let shims = root().join("target/shim");
        Self(Arc::new(Containerd::start(&shims, variables).await.unwrap()))
    }

    /// Imports an image. The error is the output of `ctr`.
    pub fn import(&self, image: &[u8]) -> Result<(), String> {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(image).unwrap();
        let mut import = self.0.ctr();
        import.args(["images", "import"]).args(SNAPSHOTTER).arg(file.path());
        output(&mut import).map(drop)
    }

    /// Creates a container of an image and starts it, with these environment variables and these
    /// flags of `ctr run`.
    pub fn run(&self, image: &str, variables: &[(&str, &str)], flags: &[&str]) -> Container {
        let id = new_id();
        let mut run = self.0.ctr();
        run.arg("run").arg("--rm").args(arguments(RUNTIME, variables)).args(flags);
        run.arg(image).arg(&id);
        self.attach(run, id)
    }

    /// The same for an image with its own program, which gets these arguments.
    pub fn run_program(
        &self,
        image: &str,
        variables: &[(&str, &str)],
        flags: &[&str],
        program: &[&str],
    ) -> Container {
        let id = new_id();
        let mut run = self.0.ctr();
        run.arg("run").arg("--rm").args(arguments(RUNC, variables)).args(flags);
        run.arg(image).arg(&id).args(program);
        self.attach(run, id)
    }

    /// The same in two steps, with a call of `between` after the first.
    pub fn create_and_start(
        &self,
        image: &str,
        variables: &[(&str, &str)],
        between: impl FnOnce(),
    ) -> Container {
        let id = new_id();
        let mut create = self.0.ctr();
        create.args(["containers", "create"]).args(arguments(RUNTIME, variables)).arg("--net-host");
        output(create.arg(image).arg(&id)).unwrap();
        between();
        let mut start = self.0.ctr();
        start.args(["tasks", "start", &id]);
        self.attach(start, id)
    }

    fn attach(&self, mut command: Command, id: String) -> Container {
        let log = NamedTempFile::new().unwrap();
        command.stdin(Stdio::null()).stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap());
        let ctr = tokio::process::Command::from(command).spawn().unwrap();
        Container { node: self.clone(), id, ctr, log }
    }
}

fn arguments(runtime: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let fixed = SNAPSHOTTER.into_iter().chain(["--runtime", runtime]).map(str::to_owned);
    let variables = variables.iter().flat_map(|(n, v)| ["--env".to_owned(), format!("{n}={v}")]);
    fixed.chain(variables).collect()
}

/// The ids must be unique on a machine, because containerd's library uses one folder for all
/// containers.
fn new_id() -> String {
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The output of a command; the error is its stderr.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A free loopback address.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port().unwrap())
}

/// A container, which is removed when dropped.
pub struct Container {
    node: Node,
    id: String,
    ctr: Child,
    log: NamedTempFile,
}

impl Container {
    /// Its output on both streams.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it answers at this address.
    pub async fn client(&self, address: &str) -> Client {
        let client = Client::new(&format!("http://{address}"));
        eventually(&format!("the container answers: {}", self.id), async || {
            client.post("/", "").await.ok().map(drop)
        })
        .await;
        client
    }

    /// Waits until its output contains this text.
    pub async fn wait_for_log(&self, text: &str) {
        eventually(&format!("the log contains `{text}`"), async || {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// The process id on the machine.
    pub fn pid(&self) -> Option<String> {
        let tasks = output(self.ctr().args(["tasks", "list"])).ok()?;
        let line = tasks.lines().find(|line| line.split_whitespace().next() == Some(&self.id))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    }

    /// The metrics that containerd reports.
    pub fn metrics(&self) -> serde_json::Value {
        let metrics = output(self.ctr().args(["tasks", "metrics", "--format", "json", &self.id]));
        serde_json::from_str(&metrics.unwrap()).unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        output(self.ctr().args(["tasks", "kill", "--signal", signal, &self.id])).unwrap();
    }

    /// Waits for the end. Returns the exit code and the output.
    pub async fn ended(mut self) -> (i32, String) {
        let status = self.ctr.wait().await.unwrap();
        (status.code().unwrap(), self.log())
    }

    fn ctr(&self) -> Command {
        self.node.0.ctr()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let Ok(tasks) = output(self.ctr().args(["tasks", "list", "--quiet"])) else { return };
        if tasks.lines().any(|id| id == self.id) {
            let _ = output(self.ctr().args(["tasks", "delete", "--force", &self.id]));
        }
        let _ = output(self.ctr().args(["containers", "delete", &self.id]));
        if std::thread::panicking() {
            eprintln!("{}:\n{}\n{}", self.id, self.log(), self.node.0.log());
        }
    }
}
