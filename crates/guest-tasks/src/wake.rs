//! One call wakes another.

use spin_sdk::wasip3::wit_stream;
use spin_sdk::wit_bindgen::StreamWriter;

/// Wakes who waits for it when it is dropped: the end of a stream in which nothing is ever
/// written. Each call is a task of its own to the host, and one that waits for nothing of the
/// host's is never polled again: Rust's wakers end at the task's border, an event of a stream does
/// not.
pub type Wake = StreamWriter<u8>;

/// A wake-up: one end to drop, and one to wait for that.
pub fn wake_up() -> (Wake, impl Future<Output = ()>) {
    let (wake, mut wait) = wit_stream::new();
    let woken = async move {
        wait.next().await;
    };
    (wake, woken)
}
