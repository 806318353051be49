//! Wake-ups from one call to another.

use spin_sdk::wasip3::wit_stream;
use spin_sdk::wit_bindgen::StreamWriter;

/// Wakes the call that waits for it when it is dropped: it is the writing end of a stream in which
/// nothing is ever written. For the host, every call is a separate task, which is polled again
/// only after an event of the host. A Rust waker cannot wake another task; the end of a stream is
/// an event of the host.
pub type Wake = StreamWriter<u8>;

/// Creates a pair: a value that wakes when it is dropped, and a future that waits for this.
pub fn wake_up() -> (Wake, impl Future<Output = ()>) {
    let (wake, mut wait) = wit_stream::new();
    let woken = async move {
        wait.next().await;
    };
    (wake, woken)
}
