//! The decoder of a ledger file.

use ledger::{Actual, Entry, Expected, diff, entries, write};

use crate::sales;

/// Checks an input.
pub fn check(bytes: &[u8]) {
    let mut expected = Expected::default();
    let mut count = 0;
    for entry in entries("ledger".into(), bytes) {
        count += 1;
        match entry {
            Ok(entry) => {
                sales::check(&entry.sale);
                check_written(&entry);
                expected.add(&entry.sale);
            }
            Err(error) => assert!(format!("{error:#}").starts_with(&format!("ledger:{count}: "))),
        }
    }
    assert!(count <= bytes.len());
    // An empty Valkey differs if at least one sale was accepted.
    assert_eq!(diff(&expected, &Actual::default()).is_empty(), expected.total == 0);
}

fn check_written(entry: &Entry) {
    let mut line = Vec::new();
    write(&mut line, entry).unwrap();
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    let read: Vec<Entry> = entries("again".into(), &*line).collect::<Result<_, _>>().unwrap();
    assert_eq!(read, std::slice::from_ref(entry));
}
