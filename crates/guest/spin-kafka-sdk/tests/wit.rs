//! The package carries its own copy of the interfaces, because `cargo publish` includes no files of
//! other folders.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::Path;

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = folder.read_dir().unwrap().map(Result::unwrap);
    let entries = entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "wit"));
    let file = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

#[test]
fn the_copy_of_the_interfaces_is_current() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let original = package.ancestors().nth(3).unwrap().join("wit/spin-kafka-events");
    let copy = package.join("wit/spin-kafka-events");
    assert_eq!(files(&copy), files(&original), "copy {original:?} to {copy:?}");
}
