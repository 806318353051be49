//! The terminal, which is restored in every case.

use std::io;

use ratatui::{DefaultTerminal, Frame};

/// The terminal in raw mode with its alternate screen. It is restored when this is dropped, and
/// before the message of a panic is printed.
pub struct Terminal {
    terminal: DefaultTerminal,
    _restore: Restore,
}

/// Restores the terminal when it is dropped.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        // If the terminal was closed, there is nothing to restore.
        drop(ratatui::try_restore());
    }
}

impl Terminal {
    /// Prepares the terminal.
    pub fn open() -> io::Result<Self> {
        // This comes first: the preparation may fail half way.
        let restore = Restore;
        Ok(Self { terminal: ratatui::try_init()?, _restore: restore })
    }

    /// Draws everything again. Only what has changed is written.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }
}
