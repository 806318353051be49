//! The folder of the installed servers, and the installation of a part of them.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How long a command may take. Maven, pip and apt-get download what they install, and Go compiles
/// it.
const RUN_LIMIT: Duration = Duration::from_secs(20 * 60);

/// How long to wait for another process that installs the same part: the time of two commands.
const LOCK_LIMIT: Duration = Duration::from_secs(2 * RUN_LIMIT.as_secs());

/// How often an installation is tried: a download may fail for a moment.
const TRIES: usize = 3;

/// The pause before it is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// How often a command or a lock is checked.
const POLL: Duration = Duration::from_millis(10);

/// The folder of the installed servers: `DOORBUSTER_HOME`, or `.doorbuster` in the current folder.
pub fn home() -> PathBuf {
    let home = std::env::var_os("DOORBUSTER_HOME").filter(|home| !home.is_empty());
    home.map_or_else(|| ".doorbuster".into(), PathBuf::from)
}

/// Installs a part below [`home`] unless `made` exists, and returns its path. If several processes
/// need the same part, one installs it and the others wait.
pub fn install(
    name: &str,
    made: impl Fn(&Path) -> PathBuf,
    make: impl Fn(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let home = home();
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let home = home.canonicalize()?;
    let lock = File::create(home.join(format!("{name}.lock")))?;
    wait_for(&lock, LOCK_LIMIT)
        .with_context(|| format!("cannot lock the installation of {name}"))?;
    let wanted = made(&home);
    if !wanted.exists() {
        tracing::info!(name, folder = %home.display(), "installing");
        repeatedly(name, || make(&home)).with_context(|| format!("cannot install {name}"))?;
        ensure!(wanted.exists(), "{name}: the installation did not create {}", wanted.display());
    }
    Ok(wanted)
}

/// Tries until it succeeds, at most [`TRIES`] times.
fn repeatedly(name: &str, make: impl Fn() -> Result<()>) -> Result<()> {
    for _ in 1..TRIES {
        let Err(error) = make() else {
            return Ok(());
        };
        tracing::warn!(name, error = format!("{error:#}"), "not installed; trying again");
        std::thread::sleep(PAUSE);
    }
    make()
}

/// Makes a file executable, because archives of Python contain no permissions.
pub fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", file.display()))
}

/// Locks the file; fails after `limit`.
fn wait_for(lock: &File, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begun.elapsed() < limit => std::thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => bail!("another process has held it for {limit:?}"),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Runs a command to its end and returns its output. If it fails or takes too long, the error
/// contains the output and what is `needed`.
pub fn run(command: &mut Command, needed: &str) -> Result<String> {
    run_within(RUN_LIMIT, command, needed)
}

fn run_within(limit: Duration, command: &mut Command, needed: &str) -> Result<String> {
    let shown = format!("{command:?}");
    // The output goes to files, because a full pipe would block the command: it is not read before
    // the command ends.
    let (mut output, mut errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(errors.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot run {shown}: {needed}"))?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if begun.elapsed() < limit => std::thread::sleep(POLL),
            None => {
                child.kill()?;
                child.wait()?;
                break None;
            }
        }
    };
    let (output, errors) = (written(&mut output)?, written(&mut errors)?);
    match status {
        Some(status) if status.success() => Ok(output),
        Some(_) => bail!("{shown} failed ({needed}):\n{output}{errors}"),
        None => bail!("{shown} took longer than {limit:?} ({needed}):\n{output}{errors}"),
    }
}

fn written(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let printed = run_within(RUN_LIMIT, &mut shell("echo out; echo err >&2"), "a shell");
        assert_eq!(printed.unwrap(), "out\n");
        let fault = run_within(RUN_LIMIT, &mut shell("echo why >&2; exit 3"), "a shell");
        let fault = fault.unwrap_err().to_string();
        assert!(fault.contains("failed (a shell)") && fault.contains("why"), "{fault}");
        let fault = run_within(Duration::ZERO, &mut shell("exec sleep 600"), "a shell");
        let fault = fault.unwrap_err().to_string();
        assert!(fault.contains("took longer than 0ns (a shell)"), "{fault}");
    }

    #[test]
    fn a_lock_is_not_waited_for_without_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (held, other) = (file.reopen().unwrap(), file.reopen().unwrap());
        wait_for(&held, Duration::ZERO).unwrap();
        let fault = wait_for(&other, Duration::ZERO).unwrap_err().to_string();
        assert!(fault.contains("another process"), "{fault}");
        drop(held);
        // A process that another test has just forked inherits the lock and holds it until it
        // executes its program.
        wait_for(&other, LOCK_LIMIT).unwrap();
    }
}
