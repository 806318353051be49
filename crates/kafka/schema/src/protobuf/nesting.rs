//! Limits how deep a Protobuf schema is nested, because it is parsed by recursion.

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
            b'/' if bytes.next_if_eq(&b'/').is_some() => {
                bytes.by_ref().take_while(|byte| *byte != b'\n').for_each(drop);
            }
            b'/' if bytes.next_if_eq(&b'*').is_some() => {
                while bytes.next().is_some_and(|byte| byte != b'*' || bytes.peek() != Some(&b'/')) {
                }
            }
            quote @ (b'"' | b'\'') => {
                // A string ends at the end of its line, too: the rest is invalid, and is counted.
                while let Some(byte) = bytes.next_if(|byte| *byte != b'\n') {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        byte if byte == quote => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(format!("is nested deeper than {DEPTH_MAX} levels"));
        }
    }
    Ok(())
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
        ] {
            assert!(check(&schema).is_err(), "{schema}");
        }
    }
}
