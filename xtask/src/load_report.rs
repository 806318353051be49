//! Runs Locust against the pipeline on real servers, and draws the run.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::build;
use crate::plots::{self, text};
use crate::profile::Profile;
use crate::run::{root, run};

/// The image.
const IMAGE: &str = "docs/benchmarks/load.svg";
/// The tables of the last run, and the data of its servers.
const FOLDER: &str = "target/load-report";
/// How long Kafka and the pipeline may take to start.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Builds the pipeline in the optimized profile and runs it under load. `args` are passed to
/// Locust.
pub fn run_and_draw(args: &[String]) -> Result<()> {
    build::pipeline(Profile::Release, &["with-servers"])?;
    let venv = venv()?;
    let folder = root().join(FOLDER);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context(FOLDER)?;
    }
    std::fs::create_dir_all(&folder).context(FOLDER)?;
    let mut pipeline = Pipeline::start(&folder)?;
    let ready = pipeline.ready();
    let locust = ready.and_then(|pid| locust(&venv, &folder, &pipeline, pid, args));
    let stopped = pipeline.stop();
    locust.and(stopped)?;
    std::fs::create_dir_all(root().join("docs/benchmarks"))?;
    let prefix = folder.join("run");
    plots::draw("load.py", &[&text(&prefix), IMAGE])?;
    Ok(printing::result(format_args!("{IMAGE}; Locust's report is {FOLDER}/run.html"))?)
}

/// A virtual environment with Locust and the library that draws the image.
fn venv() -> Result<PathBuf> {
    let venv = plots::venv()?;
    if !venv.join("bin/locust").exists() {
        plots::install(&venv, "locust/requirements.txt")?;
    }
    Ok(venv)
}

fn locust(
    venv: &Path,
    folder: &Path,
    pipeline: &Pipeline,
    pid: u32,
    args: &[String],
) -> Result<()> {
    let prefix = folder.join("run");
    let status = Command::new(venv.join("bin/locust"))
        .args(["-f", "locust/black_friday.py", "--headless", "--host", &pipeline.url])
        .args(["--operator", &pipeline.operator, "--pid", &pid.to_string()])
        .arg("--csv")
        .arg(&prefix)
        .arg("--html")
        .arg(prefix.with_extension("html"))
        .args(args)
        .current_dir(root())
        .status()
        .context("cannot run Locust")?;
    // Failed requests are a result, which the image shows.
    ensure!(matches!(status.code(), Some(0 | 1)), "Locust ended with {status}");
    Ok(())
}

/// The pipeline with its servers.
struct Pipeline {
    child: Child,
    url: String,
    operator: String,
    /// The file with the pipeline's process id.
    pid: PathBuf,
}

impl Pipeline {
    fn start(folder: &Path) -> Result<Self> {
        let [listen, operator] = free_addresses()?;
        let pid = folder.join("pid");
        let doorbuster = Profile::Release.program("doorbuster");
        let child = Command::new(Profile::Release.program("with-servers"))
            .arg("--local")
            .arg(folder.join("data"))
            .args(["sh", "-c", r#"echo $$ > "$0"; exec "$@""#])
            .args([&pid, &doorbuster])
            .args(["up", "--listen", &listen, "--operator", &operator])
            .current_dir(root())
            .spawn()
            .context("cannot start the pipeline")?;
        let url = format!("http://{listen}");
        Ok(Self { child, url, operator: format!("http://{operator}"), pid })
    }

    /// Waits until the pipeline accepts connections. Returns its process id.
    fn ready(&mut self) -> Result<u32> {
        let begun = Instant::now();
        let address = self.url.trim_start_matches("http://").to_owned();
        while std::net::TcpStream::connect(&address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the pipeline ended at its start: {status}");
            }
            ensure!(begun.elapsed() < START_LIMIT, "not ready after {START_LIMIT:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(std::fs::read_to_string(&self.pid)?.trim().parse()?)
    }

    fn stop(mut self) -> Result<()> {
        let status = match self.child.try_wait()? {
            Some(ended) => ended,
            None => {
                run("kill", &["-TERM", &self.child.id().to_string()])?;
                self.child.wait()?
            }
        };
        ensure!(status.success(), "the pipeline ended with {status}");
        Ok(())
    }
}

/// Two free ports on the loopback interface.
fn free_addresses() -> Result<[String; 2]> {
    // Both are held until both are found, so that they differ.
    let held = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([held[0].local_addr()?.to_string(), held[1].local_addr()?.to_string()])
}
