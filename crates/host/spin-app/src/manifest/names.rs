//! Checks the names in a manifest: words of ASCII letters and digits, as in Spin.

/// Checks the id of a component: words separated by `-`, each in lower or upper case.
pub(super) fn check_component_id(id: &str) -> Result<(), String> {
    check(id, '-', true)
        .map_err(|message| format!("component `{id}`: {message}; a name is such as `my-component`"))
}

/// Checks the name of a variable: lower-case words separated by `_`. Two names that differ only in
/// case would share an environment variable.
pub(super) fn check_variable(name: &str) -> Result<(), String> {
    check(name, '_', false)
        .map_err(|message| format!("variable `{name}`: {message}; a name is such as `my_variable`"))
}

fn check(name: &str, separator: char, upper: bool) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".into());
    }
    let strange = |c: &char| !c.is_ascii_alphanumeric() && *c != separator;
    if let Some(c) = name.chars().find(strange) {
        return Err(format!(
            "the name has {c:?}; only ASCII letters, digits and `{separator}` may be in it"
        ));
    }
    name.split(separator).try_for_each(|word| check_word(word, separator, upper))
}

fn check_word(word: &str, separator: char, upper: bool) -> Result<(), String> {
    if !word.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(format!("each word between `{separator}` must begin with a letter"));
    }
    let has_upper = word.contains(|c: char| c.is_ascii_uppercase());
    let has_lower = word.contains(|c: char| c.is_ascii_lowercase());
    match (has_upper, has_lower) {
        (true, _) if !upper => Err("the name must be in lower case".into()),
        (true, true) => Err(format!("`{word}` mixes upper and lower case")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_spin_takes() {
        for id in ["a", "a1", "my-component", "MY-component", "HTTP"] {
            assert_eq!(check_component_id(id), Ok(()), "{id}");
        }
        for id in ["", "../x y", "a_b", "a--b", "-a", "a-", "1a", "a-1", "aB", "ñ", "a b", "a/b"] {
            assert!(check_component_id(id).unwrap_err().contains(&format!("`{id}`")), "{id}");
        }
        for name in ["a", "a1", "kafka_brokers"] {
            assert_eq!(check_variable(name), Ok(()), "{name}");
        }
        for name in ["", "FOO", "foo-bar", "a b", "a__b", "_a", "a_", "1a", "fOO", "a.b"] {
            assert!(check_variable(name).unwrap_err().contains(&format!("`{name}`")), "{name}");
        }
    }
}
