//! What the keys do.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use crate::view::PANELS;

/// Rows by which a page key scrolls.
const PAGE: usize = 10;

/// What the user has chosen to see.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The panel that the keys scroll.
    pub panel: usize,
    /// The first row that is shown of each panel. [`draw`](crate::draw) limits it.
    pub first_rows: [usize; PANELS],
    /// Whether the figures stand still.
    pub is_paused: bool,
    /// Whether the help is shown.
    pub shows_help: bool,
}

impl Choices {
    /// Handles an event of the terminal. Returns whether the user quits.
    pub fn handle(&mut self, event: &Event) -> bool {
        match event {
            Event::Key(key) if key.is_press() => self.press(key),
            _ => false,
        }
    }

    fn press(&mut self, key: &KeyEvent) -> bool {
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if has_control => return true,
            KeyCode::Char(_) if has_control => {}
            KeyCode::Char('q') => return true,
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            KeyCode::Char('?' | 'h') => self.shows_help = !self.shows_help,
            KeyCode::Esc => self.shows_help = false,
            KeyCode::Tab | KeyCode::Right => self.panel = (self.panel + 1) % PANELS,
            KeyCode::BackTab | KeyCode::Left => self.panel = (self.panel + PANELS - 1) % PANELS,
            KeyCode::Down | KeyCode::Char('j') => self.scroll(|row| row.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.scroll(|row| row.saturating_sub(1)),
            KeyCode::PageDown => self.scroll(|row| row.saturating_add(PAGE)),
            KeyCode::PageUp => self.scroll(|row| row.saturating_sub(PAGE)),
            KeyCode::Home => self.scroll(|_| 0),
            KeyCode::End => self.scroll(|_| usize::MAX),
            _ => {}
        }
        false
    }

    fn scroll(&mut self, to: impl Fn(usize) -> usize) {
        if let Some(first) = self.first_rows.get_mut(self.panel) {
            *first = to(*first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(choices: &mut Choices, code: KeyCode) -> bool {
        choices.handle(&Event::Key(code.into()))
    }

    #[test]
    fn keys_quit() {
        let mut choices = Choices::default();
        assert!(press(&mut choices, KeyCode::Char('q')));
        let control = |c| Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
        assert!(choices.handle(&control('c')));
        assert!(!choices.handle(&control('q')), "Ctrl-Q is another key");
        assert!(!choices.handle(&Event::Resize(1, 1)));
        assert_eq!(choices, Choices::default());
    }

    #[test]
    fn keys_change_the_view() {
        let mut choices = Choices::default();
        let mut press = |code| assert!(!press(&mut choices, code));
        for code in [KeyCode::Char('p'), KeyCode::Char('?'), KeyCode::BackTab, KeyCode::Down] {
            press(code);
        }
        for code in
            [KeyCode::PageDown, KeyCode::Up, KeyCode::Tab, KeyCode::Up, KeyCode::End, KeyCode::Down]
        {
            press(code);
        }
        let first_rows = [usize::MAX, 0, 0, 10];
        let expected = Choices { panel: 0, first_rows, is_paused: true, shows_help: true };
        assert_eq!(choices, expected);
        for code in [KeyCode::Home, KeyCode::Char('p'), KeyCode::Esc] {
            assert!(!super::tests::press(&mut choices, code));
        }
        let first_rows = [0, 0, 0, 10];
        assert_eq!(choices, Choices { first_rows, ..Choices::default() });
    }
}
