//! Texts of a client in problems.

/// Maximum length of such a text, in characters.
const CHARS_MAX: usize = 256;

/// The beginning of a text that the client chose, or that may contain such a text.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}
