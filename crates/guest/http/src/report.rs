//! Writes details of errors, which clients do not get, to standard error: the log of the component.

use std::cell::Cell;
use std::io::Write as _;
use std::thread::LocalKey;

use guest_tasks::now_ms;
use intake::IntakeError;

/// The shortest time between two lines: an error of another service affects every request.
const PAUSE_MS: u64 = 1_000;

/// The time of the last line, and the number of lines that were left out since then.
type Last = Cell<Option<(u64, u64)>>;

thread_local! {
    static REFUSED: Last = const { Cell::new(None) };
    static RETRIED: Last = const { Cell::new(None) };
    static NOT_RETRIED: Last = const { Cell::new(None) };
    static NO_VALKEY: Last = const { Cell::new(None) };
    static UNWRITTEN: Last = const { Cell::new(None) };
    static SKIPPED: Last = const { Cell::new(None) };
}

/// Logs the details of an error. At most one line per second and instance.
pub fn report(error: &IntakeError) {
    if let Some(details) = error.for_log() {
        write(&REFUSED, format_args!("a request was not accepted: {details}"));
    }
}

/// Logs that a sale or a request (`what`) is sent again after this error, or that the budget does not
/// permit another retry. At most one line of each kind per second and instance.
pub fn report_retry(what: &str, error: &dyn std::fmt::Display, retried: bool) {
    if retried {
        write(&RETRIED, format_args!("{what} is sent again: {error}"));
    } else {
        write(
            &NOT_RETRIED,
            format_args!("{what} is not sent again, the retry budget is empty: {error}"),
        );
    }
}

/// Logs why Valkey cannot be used by a component that accepts requests without it. At most one line per
/// second and instance.
pub fn report_no_valkey(reason: &dyn std::fmt::Display) {
    write(&NO_VALKEY, format_args!("Valkey cannot be used: {reason}"));
}

/// Logs why events about requests are not written yet. At most one line per second and instance.
pub fn report_unwritten(reason: &dyn std::fmt::Display) {
    write(&UNWRITTEN, format_args!("events are not written yet: {reason}"));
}

/// Logs that a record is skipped. At most one line per second and instance.
pub fn report_skipped(details: &dyn std::fmt::Display) {
    write(&SKIPPED, format_args!("a record is skipped: {details}"));
}

/// Logs that the component treats requests differently from now on. Every line is written, so each
/// such state must last for a second or more.
pub fn report_change(text: &str) {
    line(format_args!("{text}"));
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

/// Writes a line to standard error with a single write. Errors are ignored.
fn line(text: std::fmt::Arguments<'_>) {
    drop(std::io::stderr().write_all(format!("{text}\n").as_bytes()));
}
