//! The names of fields in problems, as for sales: `customer`, `items[0].id`.

use crate::shorten::shorten;

/// The name of the field at a JSON pointer, or `body` for the whole document.
pub fn field(pointer: &str) -> String {
    let mut name = String::new();
    for part in pointer.split('/').skip(1) {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            name.push_str(&format!("[{part}]"));
        } else {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    if name.is_empty() { "body".into() } else { shorten(&name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_become_names() {
        for (pointer, name) in [
            ("", "body"),
            ("/customer", "customer"),
            ("/items/0/id", "items[0].id"),
            ("/0/a~1b~0", "[0].a/b~"),
        ] {
            assert_eq!(field(pointer), name);
        }
        assert!(field(&format!("/{}", "x".repeat(10_000))).len() < 1_000);
    }
}
