//! The output functions of the programs.
//!
//! `println!` and `eprintln!` panic if the output cannot be written, for example because a pipe was
//! closed or the disk is full; a lint forbids them. There are two kinds of output: the result of a
//! command must be written, otherwise the command fails ([`result`]); messages for users may be
//! lost ([`announce`], [`note`], [`Progress`]), so that a server continues.

mod foreign;
mod progress;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

pub use foreign::{is_plain, one_line};
pub use progress::Progress;

/// Exit code of a command whose result could not be written: `EX_IOERR` of `sysexits.h`. It differs
/// from the code of other failures, 1, so that it is not mistaken for a negative result.
pub const UNWRITTEN: u8 = 74;

/// The result of a command could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the result to standard output")]
pub struct Unwritten(#[source] io::Error);

/// Writes the result of a command, or a part of it, to standard output, followed by a line break.
pub fn result(text: impl Display) -> Result<(), Unwritten> {
    write(io::stdout().lock(), text).map_err(Unwritten)
}

/// Writes a message for users to standard output. Errors are ignored.
pub fn announce(text: impl Display) {
    drop(write(io::stdout().lock(), text));
}

/// Writes a message for users to standard error. Errors are ignored.
pub fn note(text: impl Display) {
    drop(write(io::stderr().lock(), text));
}

/// Writes the error of a program to standard error, and returns the exit code.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    note(format_args!("Error: {error:#}"));
    code(error).into()
}

fn code(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<Unwritten>()) { UNWRITTEN } else { 1 }
}

fn write(mut out: impl Write, text: impl Display) -> io::Result<()> {
    writeln!(out, "{text}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn a_full_disk_is_an_error() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let written = write(io::BufWriter::new(full), "lost");
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn an_unwritten_result_has_its_own_exit_code() {
        let unwritten = anyhow::Error::from(Unwritten(io::ErrorKind::BrokenPipe.into()));
        assert_eq!(code(&unwritten.context("verify")), UNWRITTEN);
        assert_eq!(code(&anyhow::anyhow!("another fault")), 1);
    }
}
