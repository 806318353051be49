//! Detects the end of the shim's server. Only the server keeps the writing end of a pipe, and the
//! containers' processes have the reading end. They read the end of the pipe when the server has
//! ended for any reason. Without the server, no process would stop them, collect their exit codes,
//! or report them to containerd.

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;
use zygote::Zygote;

static READER: Mutex<Option<PipeReader>> = Mutex::new(None);
static WRITER: Mutex<Option<PipeWriter>> = Mutex::new(None);

/// Opens the pipe and starts the zygote, which forks the containers' processes. Must be called
/// while there is only one thread.
pub fn start_zygote() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    keep(&READER, reader);
    keep(&WRITER, writer);
    Zygote::init();
    // The zygote must close its copy of the writing end, which would keep the pipe open.
    Zygote::global().run(|()| drop(take(&WRITER)), ());
    Ok(())
}

/// In a container's process: resolves when the server has ended.
pub fn ended() -> io::Result<impl Future<Output = ()> + Send> {
    let (ended, wait) = oneshot::channel();
    if let Some(mut reader) = take(&READER) {
        thread::Builder::new().name("server-life".into()).spawn(move || {
            // Nothing is ever written to the pipe. An error is treated like its end.
            let _ = reader.read(&mut [0]);
            let _ = ended.send(());
        })?;
    }
    Ok(async {
        // An error means that no thread reads the pipe, because this is not a container's process.
        if wait.await.is_err() {
            std::future::pending().await
        }
    })
}

fn keep<T>(place: &Mutex<Option<T>>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}
