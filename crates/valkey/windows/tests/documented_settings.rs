//! The settings in the guide and in the examples are valid, and the guide shows the examples.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use spin_kafka_windows::Windows;

#[test]
fn the_documented_settings_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
    for (file, begin, end, count) in [
        ("docs/guide/windows.md", "```toml\nname", "```", 2),
        ("examples/windows/spin.toml", "'''\nname", "'''", 2),
        ("examples/top-products/spin.toml", "'''\nname", "'''", 1),
        ("examples/top-products-js/spin.toml", "'''\nname", "'''", 1),
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let settings: Vec<&str> = text.split(begin).skip(1).collect();
        assert_eq!(settings.len(), count, "{file}");
        for rest in settings {
            let settings = format!("name{}", rest.split(end).next().unwrap());
            Windows::parse(&settings).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }
}

#[test]
fn the_guide_shows_the_function_in_javascript() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let example = read("examples/top-products-js/index.js");
    let (_, function) = example.split_once("\n\n").unwrap();
    assert!(read("docs/guide/windows.md").contains(&format!("```js\n{function}```")), "{function}");
    assert!(example.lines().count() < 40, "a windowed top 10 needs less than 40 lines");
}
