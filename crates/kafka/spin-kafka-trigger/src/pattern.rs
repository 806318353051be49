//! Patterns of topic names.
//!
//! A pattern is matched by libc (POSIX) with the group protocol `classic`, and by the broker (RE2)
//! with `consumer`. Only syntax that both interpret alike is allowed. libc searches for a match
//! anywhere in the name, and the broker compares the whole name. [`normalized`] makes both follow
//! the same rule: a name must begin with a match.

use regex::Regex;

/// The longest name of a topic, in characters. More repetitions can match no name.
const NAME_CHARS_MAX: u32 = 249;

/// Whether librdkafka treats the name as a pattern.
pub fn is_pattern(topic: &str) -> bool {
    topic.starts_with('^')
}

/// The pattern as it is passed to librdkafka and the broker.
pub(crate) fn normalized(pattern: &str) -> String {
    format!("^({}).*", pattern.strip_prefix('^').unwrap_or(pattern))
}

/// The regular expression to match names with. The error says what is wrong with the pattern.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    check(pattern)?;
    Regex::new(&normalized(pattern)).map_err(|error| {
        // The last line of the error is the reason; the lines above it show the position.
        let error = error.to_string();
        error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Rejects syntax that libc and RE2 interpret differently, and patterns that no name can match.
fn check(pattern: &str) -> Result<(), String> {
    let mut chars = pattern.chars();
    let mut before = None;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('.' | '-') => {}
                Some(other) => {
                    return Err(format!(
                        "`\\{other}` is not supported by every broker: write classes in full, such as \
                         `[0-9]`; only `\\.` and `\\-` are escapes"
                    ));
                }
                None => return Err("it ends with `\\`".into()),
            },
            '*' | '+' | '?' | '{' => {
                if matches!(before, Some('(')) && c == '?' {
                    return Err("groups with `(?` are not supported by every broker".into());
                }
                if matches!(before, None | Some('^' | '$' | '(' | '|' | '*' | '+' | '?' | '}')) {
                    return Err(format!("`{c}` must follow a character, a class or a group"));
                }
                if c == '{' {
                    before = Some('}');
                    repetition(&mut chars)?;
                    continue;
                }
            }
            '[' => class(&mut chars)?,
            '^' | '$' | '|' | '(' | ')' => {}
            c if is_name_char(c) => {}
            other => return Err(format!("a topic name cannot contain `{other}`")),
        }
        before = Some(c);
    }
    Ok(())
}

/// Reads the rest of `{n}`, `{n,}` or `{n,m}`.
fn repetition(chars: &mut impl Iterator<Item = char>) -> Result<(), String> {
    let inside: String = chars.take_while(|c| *c != '}').collect();
    let mut counts = inside.split(',');
    let first = counts.next().is_some_and(is_count);
    let second = counts.next().is_none_or(|count| count.is_empty() || is_count(count));
    if first && second && counts.next().is_none() {
        Ok(())
    } else {
        Err(format!("`{{{inside}}}` must be a count such as `{{2}}`, at most {NAME_CHARS_MAX}"))
    }
}

fn is_count(text: &str) -> bool {
    let digits = text.chars().all(|c| c.is_ascii_digit());
    digits && text.parse::<u32>().is_ok_and(|count| count <= NAME_CHARS_MAX)
}

/// Reads the rest of `[...]`.
fn class(chars: &mut impl Iterator<Item = char>) -> Result<(), String> {
    let inside: String = chars.take_while(|c| *c != ']').collect();
    let members = inside.strip_prefix('^').unwrap_or(&inside);
    if members.is_empty() || members.contains("--") || !members.chars().all(is_name_char) {
        return Err(format!(
            "`[{inside}]` must list characters of topic names, such as `[a-z0-9.-]`"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_with_a_match() {
        let matches = |pattern: &str, name: &str| compile(pattern).unwrap().is_match(name);
        assert!(matches("^sales", "sales-1"));
        assert!(matches("^sales$", "sales"));
        assert!(!matches("^sales$", "sales-1"));
        assert!(!matches("^sales", "other-sales"));
        assert!(
            matches("^a|b", "b-1") && !matches("^a|b", "xb"),
            "`^` applies to every alternative"
        );
        assert!(matches(r"^a\.[0-9]{2,3}(x|y)?$", "a.12x") && !matches(r"^a\.b$", "a-b"));
        assert!(matches("^[^a]", "b") && matches("^[a.-]+$", "a.-"));
    }

    #[test]
    fn patterns_that_brokers_interpret_differently_are_rejected() {
        for pattern in [
            r"^rx-\d+$",
            r"^a\w",
            r"^a\b",
            r"^\<a",
            r"^a\",
            "^(?:a|b)$",
            "^(?i)a",
            "^a*?",
            "^a++",
            "^*",
            "^(+a)",
            "^[[:alpha:]]",
            r"^[\.]",
            "^[a&&b]",
            "^[a--b]",
            "^[]a]",
            "^[",
            "^(",
            "^a)",
            "^a{250}",
            "^a{,2}",
            "^a{1,2,3}",
            "^a{",
            "^a b",
            "^ä",
            "^a/b",
            "^[z-a]",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
