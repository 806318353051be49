//! Whether the shim's server still runs. It alone keeps the writing end of a pipe whose reading end
//! the containers' processes have, so that they read the pipe's end when it is gone, however it
//! ended. Without it nobody would end them, read their exit codes, or tell containerd of them.

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;
use zygote::Zygote;

static READER: Mutex<Option<PipeReader>> = Mutex::new(None);
static WRITER: Mutex<Option<PipeWriter>> = Mutex::new(None);

/// Opens the pipe and starts the zygote, from which the containers' processes come. To be called
/// while there is a single thread.
pub fn start_zygote() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    keep(&READER, reader);
    keep(&WRITER, writer);
    Zygote::init();
    // The zygote has a copy of the writing end, which would keep the pipe open.
    Zygote::global().run(|()| drop(take(&WRITER)), ());
    Ok(())
}

/// In a container's process: resolves when the server has ended.
pub fn ended() -> io::Result<impl Future<Output = ()> + Send> {
    let (ended, wait) = oneshot::channel();
    if let Some(mut reader) = take(&READER) {
        thread::Builder::new().name("server-life".into()).spawn(move || {
            // Nothing is ever written; an error means as little to wait for as the end.
            let _ = reader.read(&mut [0]);
            let _ = ended.send(());
        })?;
    }
    Ok(async {
        // An error means that nobody reads the pipe: this is no container's process.
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
