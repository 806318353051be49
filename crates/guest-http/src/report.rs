//! Writes the details of errors that clients do not get to standard error, the component's log.

use std::cell::Cell;
use std::io::Write as _;
use std::thread::LocalKey;

use guest_tasks::now_ms;
use intake::IntakeError;

/// Time between two lines: a fault of another service meets every request.
const PAUSE_MS: u64 = 1_000;

/// When the last line was written, and how many were left out since.
type Last = Cell<Option<(u64, u64)>>;

thread_local! {
    static REFUSED: Last = const { Cell::new(None) };
    static RETRIED: Last = const { Cell::new(None) };
    static NOT_RETRIED: Last = const { Cell::new(None) };
}

/// Writes an error's details to the log, at most one in a second and instance.
pub fn report(error: &IntakeError) {
    if let Some(details) = error.for_log() {
        write(&REFUSED, format_args!("a sale was not accepted: {details}"));
    }
}

/// Writes to the log that a sale is sent again after this error, or that the budget has no retry
/// left for it; at most one line of each in a second and instance.
pub fn report_retry(error: &IntakeError, retried: bool) {
    if retried {
        write(&RETRIED, format_args!("a sale is sent again: {error}"));
    } else {
        write(
            &NOT_RETRIED,
            format_args!("a sale is not sent again, the retry budget is empty: {error}"),
        );
    }
}

fn write(last: &'static LocalKey<Last>, text: std::fmt::Arguments<'_>) {
    let now = now_ms();
    let left_out = match last.get() {
        Some((last_ms, left_out)) if now.saturating_sub(last_ms) < PAUSE_MS => {
            return last.set(Some((last_ms, left_out + 1)));
        }
        Some((_, left_out)) => left_out,
        None => 0,
    };
    last.set(Some((now, 0)));
    match left_out {
        0 => line(text),
        more => line(format_args!("{text} ({more} more since the last line)")),
    }
}

/// Writes a line to standard error, in one piece. One that cannot be written is lost.
fn line(text: std::fmt::Arguments<'_>) {
    drop(std::io::stderr().write_all(format!("{text}\n").as_bytes()));
}
