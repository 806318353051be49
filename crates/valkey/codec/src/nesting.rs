//! Checks the nesting depth of a reply before it is decoded. The decoder is recursive, so a server
//! could overflow the stack with a few kilobytes.

/// Maximum nesting depth of a reply. The reply to HELLO needs 4.
pub const DEPTH_MAX: usize = 8;

/// Whether the first reply, as far as it was received, is nested no deeper than [`DEPTH_MAX`] and
/// contains no unknown type. All other errors are left to the decoder.
pub fn fits(mut bytes: &[u8]) -> bool {
    // The number of incomplete parts of each open level.
    let mut open = [0_u64; DEPTH_MAX];
    let mut depth = 0;
    while let Some((kind, rest)) = bytes.split_first() {
        let Some(is_container) = is_container(*kind) else { return false };
        let part = if is_container { container(*kind, rest) } else { single(*kind, rest) };
        let Some((parts, rest)) = part else { return true };
        bytes = rest;
        if parts > 0 {
            let Some(level) = open.get_mut(depth) else { return false };
            *level = parts;
            depth += 1;
            continue;
        }
        // Closes all levels whose last part this was.
        while let Some(level) = depth.checked_sub(1).and_then(|last| open.get_mut(last)) {
            *level -= 1;
            if *level > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return true;
        }
    }
    true
}

/// Whether a type contains other values; None if the type does not exist.
fn is_container(kind: u8) -> Option<bool> {
    match kind {
        b'*' | b'~' | b'>' | b'%' | b'|' => Some(true),
        b'$' | b'!' | b'=' | b';' | b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' | b'.' => {
            Some(false)
        }
        _ => None,
    }
}

/// The number of parts, and the bytes of the first one. None if the length is not complete.
fn container(kind: u8, bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (count, rest) = number(bytes)?;
    let count = u64::try_from(count).unwrap_or(0);
    let parts = match kind {
        b'%' => count.saturating_mul(2),
        // The value that the attributes belong to follows them.
        b'|' => count.saturating_mul(2).saturating_add(1),
        _ => count,
    };
    Some((parts, rest))
}

/// Skips a value without parts. None if it is not complete.
fn single(kind: u8, bytes: &[u8]) -> Option<(u64, &[u8])> {
    let rest = match kind {
        b'$' | b'!' | b'=' | b';' => {
            let (length, rest) = number(bytes)?;
            text(kind, length, rest)?
        }
        _ => line(bytes)?.1,
    };
    Some((0, rest))
}

/// The number up to the end of the line, and the bytes after it. None if the line is not complete
/// or is not a number.
pub fn number(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (digits, rest) = line(bytes)?;
    Some((str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// The bytes up to the end of the line, and the bytes after it. None if the line is not complete.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 2..)?))
}

/// The bytes after a text of this length. Null has a negative length and no text, like the end of a
/// text in chunks.
pub fn text(kind: u8, length: i64, bytes: &[u8]) -> Option<&[u8]> {
    match usize::try_from(length) {
        Ok(0) if kind == b';' => Some(bytes),
        Ok(length) => bytes.get(length.checked_add(2)?..),
        Err(_) => Some(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted() {
        let nested = |levels: usize, inner: &str| format!("{}{inner}", "*1\r\n".repeat(levels));
        assert!(fits(nested(DEPTH_MAX, ":1\r\n").as_bytes()));
        assert!(!fits(nested(DEPTH_MAX + 1, ":1\r\n").as_bytes()));
        assert!(!fits(nested(100_000, "").as_bytes()));
        for inner in ["%1\r\n+k\r\n:1\r\n", "~1\r\n:1\r\n", ">1\r\n:1\r\n", "|0\r\n:1\r\n"] {
            assert!(fits(nested(DEPTH_MAX - 1, inner).as_bytes()), "{inner}");
            assert!(!fits(nested(DEPTH_MAX, inner).as_bytes()), "{inner}");
        }
    }

    #[test]
    fn complete_levels_do_not_count() {
        let list = "*2\r\n*1\r\n$5\r\n*1\r\n*\r\n*0\r\n";
        let row = format!("*20\r\n{}", list.repeat(20));
        assert!(fits(row.as_bytes()));
        let after = format!("*2\r\n*1\r\n:1\r\n{}:1\r\n", "*1\r\n".repeat(DEPTH_MAX));
        assert!(!fits(after.as_bytes()), "the second part is nested too deeply");
        let next = format!(":1\r\n{}", "*1\r\n".repeat(DEPTH_MAX + 1));
        assert!(fits(next.as_bytes()), "only the first reply counts");
    }

    #[test]
    fn incomplete_and_malformed_replies_are_left_to_the_decoder() {
        for bytes in ["", "*", "*1", "*1\r", "*x\r\n", "$9223372036854775807\r\n", "$3\r\nab", "+a"]
        {
            assert!(fits(bytes.as_bytes()), "{bytes}");
        }
        assert!(!fits(b"HELLO") && !fits(b"*1\r\nx"));
    }
}
