//! Shows the bytes of a key, a value or a header to users.

use std::borrow::Cow;

use printing::is_plain;

/// The text, if it contains no characters that could manipulate a terminal; other bytes in
/// hexadecimal.
pub fn shown(bytes: Option<&[u8]>) -> Cow<'_, str> {
    match bytes {
        None => "null".into(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if is_plain(text) => text.into(),
            _ => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("0x{hex}").into()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn bytes_that_are_no_plain_text_are_shown_in_hex() {
        assert_eq!(shown(None), "null");
        assert_eq!(shown(Some(b"")), "");
        assert_eq!(shown(Some("ñandú\n".as_bytes())), "ñandú\n");
        assert_eq!(shown(Some(b"\xff\x00")), "0xff00");
        assert_eq!(shown(Some(b"\x1b[2J")), "0x1b5b324a");
    }
}
