//! Texts that come from outside, such as records.

/// Replaces control characters by spaces, because in the text of a record they could break the line
/// or manipulate the terminal.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether a text has no control characters except line feeds and tabs. Others could manipulate a
/// terminal.
pub fn is_plain(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        assert_eq!(one_line("a\nb\x1b[2J\u{9b}c"), "a b [2J c");
        assert!(is_plain("ñandú\n\t") && !is_plain("a\rb") && !is_plain("\x1b[2J"));
    }
}
