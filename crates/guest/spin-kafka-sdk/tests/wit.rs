//! The package carries its own copies of the interfaces, because `cargo publish` includes no files of
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
fn the_copies_of_the_interfaces_are_current() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().nth(3).unwrap().join("wit");
    for (original, copy) in [
        ("spin-kafka-events", "spin-kafka-events"),
        ("doorbuster-valkey", "doorbuster-valkey"),
        ("deps/spin-variables", "spin-variables"),
    ] {
        let (original, copy) = (root.join(original), package.join("wit").join(copy));
        assert_eq!(files(&copy), files(&original), "copy {original:?} to {copy:?}");
    }
}
