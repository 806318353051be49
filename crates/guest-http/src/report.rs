//! Writes the details of errors that clients do not get to standard error, the component's log.

use std::cell::Cell;
use std::io::Write as _;

use guest_tasks::now_ms;
use intake::IntakeError;

/// Time between two lines: a fault of another service meets every request.
const PAUSE_MS: u64 = 1_000;

thread_local! {
    /// When the last line was written, and how many were left out since.
    static LAST: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Writes an error's details to the log, at most one in a second and instance.
pub fn report(error: &IntakeError) {
    let Some(details) = error.for_log() else { return };
    let now = now_ms();
    let left_out = match LAST.get() {
        Some((last, left_out)) if now.saturating_sub(last) < PAUSE_MS => {
            return LAST.set(Some((last, left_out + 1)));
        }
        Some((_, left_out)) => left_out,
        None => 0,
    };
    LAST.set(Some((now, 0)));
    match left_out {
        0 => line(format_args!("a sale was not accepted: {details}")),
        more => line(format_args!(
            "a sale was not accepted: {details} ({more} more since the last line)"
        )),
    }
}

/// Writes a line to standard error, in one piece. One that cannot be written is lost.
fn line(text: std::fmt::Arguments<'_>) {
    drop(std::io::stderr().write_all(format!("{text}\n").as_bytes()));
}
