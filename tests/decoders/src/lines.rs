//! Splits an input into the parts that a check needs.

/// Removes and returns the bytes up to the end of the line.
pub fn line<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    *bytes = rest.get(1..).unwrap_or_default();
    line
}

/// Removes and returns the lines up to an empty one, which is removed, too.
pub fn block<'a>(bytes: &mut &'a [u8]) -> Vec<&'a [u8]> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        match line(bytes) {
            [] => break,
            line => lines.push(line),
        }
    }
    lines
}

/// Removes and returns the next byte; 0 if there is none.
pub fn byte(bytes: &mut &[u8]) -> u8 {
    let Some((first, rest)) = bytes.split_first() else { return 0 };
    *bytes = rest;
    *first
}
