//! Limits how deep a Protobuf schema is nested, because it is parsed by recursion.
//!
//! Comments and strings must end where they end for the parser, or else brackets of the schema would
//! not be counted. So what the parser skips as an error, and parses on, is refused here.

use std::iter::Peekable;
use std::str::Bytes;

/// How deep brackets may be nested.
const DEPTH_MAX: usize = 64;

/// Fails if brackets are nested too deep. Brackets in comments and strings do not count.
pub(super) fn check(schema: &str) -> Result<(), String> {
    let mut bytes = schema.bytes().peekable();
    let mut depth = 0_usize;
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' | b'<' => depth += 1,
            b'}' | b']' | b'>' => depth = depth.saturating_sub(1),
            // Valid in the text format, which the values of options have.
            b'#' => skip_line(&mut bytes),
            b'/' if bytes.next_if_eq(&b'/').is_some() => skip_line(&mut bytes),
            b'/' if bytes.next_if_eq(&b'*').is_some() => skip_comment(&mut bytes)?,
            quote @ (b'"' | b'\'') => skip_string(&mut bytes, quote)?,
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(format!("is nested deeper than {DEPTH_MAX} levels"));
        }
    }
    Ok(())
}

fn skip_line(bytes: &mut Peekable<Bytes<'_>>) {
    bytes.take_while(|byte| *byte != b'\n').for_each(drop);
}

/// Skips the rest of a block comment.
fn skip_comment(bytes: &mut Peekable<Bytes<'_>>) -> Result<(), String> {
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' if bytes.next_if_eq(&b'/').is_some() => return Ok(()),
            b'/' if bytes.peek() == Some(&b'*') => {
                return Err("has a block comment in a block comment".into());
            }
            _ => {}
        }
    }
    Err("has a block comment without an end".into())
}

/// Skips the rest of a string.
fn skip_string(bytes: &mut Peekable<Bytes<'_>>, quote: u8) -> Result<(), String> {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => skip_escape(bytes).ok_or("has an invalid escape in a string")?,
            b'\0' | b'\n' => break,
            byte if byte == quote => return Ok(()),
            _ => {}
        }
    }
    Err("has a string without an end".into())
}

/// Skips what follows a backslash; `None` if it is invalid.
fn skip_escape(bytes: &mut Peekable<Bytes<'_>>) -> Option<()> {
    let digits = match bytes.next()? {
        b'x' | b'X' => 1,
        b'u' => 4,
        b'U' => 8,
        b'0'..=b'7' => 0,
        byte if br#"abfnrtv?\'""#.contains(&byte) => 0,
        _ => return None,
    };
    (0..digits).try_for_each(|_| bytes.next_if(u8::is_ascii_hexdigit).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_of_the_schema_count() {
        let deep = "{".repeat(DEPTH_MAX + 1);
        let nested = "message A {".repeat(DEPTH_MAX) + &"}".repeat(DEPTH_MAX);
        assert_eq!(check(&nested.repeat(2)), Ok(()));
        for schema in [
            format!("// {deep}\n"),
            format!("/* {deep} **/ message A {{}}"),
            format!("option a = \"{deep}\\\"{deep}\";"),
            format!("option a = '\"{deep}';"),
            format!(r#"option a = "\\\x7b\u007b\12{deep}";"#),
            format!("option (a) = {{ b: 1 # {deep}\n }};"),
            format!("/***/ /**{deep}*/"),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
        let close = "}".repeat(DEPTH_MAX);
        for schema in [
            deep.clone(),
            format!("a{{[<{deep}"),
            format!("{{/*{close}*/{deep}"),
            format!("{{\"{close}\"{deep}"),
            format!("// comment\n{deep}"),
            format!("\"text\n{deep}"),
            // What the parser reads in another way than it appears, or as an error.
            format!("/**//**/{deep}"),
            format!("/* a */// b\n{deep}"),
            format!("# /*\n{deep}"),
            format!("\"\\\n{deep}"),
            format!("/*/**/ // */{deep}"),
            format!("\"\\x\"{deep}"),
            format!("\"\\q\"{deep}"),
            format!("\"\0\"{deep}"),
            format!("/*{deep}"),
        ] {
            assert!(check(&schema).is_err(), "{schema}");
        }
    }
}
