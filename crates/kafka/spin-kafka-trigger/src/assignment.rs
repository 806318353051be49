//! Decodes the partitions of a member of a classic group, as the leader of the group encoded them
//! (`ConsumerProtocolAssignment` of Kafka's protocol).

/// Reads the topics' names and partition numbers of an assignment. Returns `None` if the bytes are
/// not an assignment. The bytes after the partitions are ignored. The names are borrowed, because a
/// copy of a long name for each of many partitions would take far more memory than the input.
pub(crate) fn read(mut bytes: &[u8]) -> Option<Vec<(&str, i32)>> {
    // A member without partitions may have an empty assignment.
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut partitions = Vec::new();
    let _version = i16::from_be_bytes(take(&mut bytes)?);
    for _ in 0..count(&mut bytes)? {
        let length = usize::try_from(i16::from_be_bytes(take(&mut bytes)?)).ok()?;
        let (name, rest) = bytes.split_at_checked(length)?;
        let name = str::from_utf8(name).ok()?;
        bytes = rest;
        for _ in 0..count(&mut bytes)? {
            partitions.push((name, i32::from_be_bytes(take(&mut bytes)?)));
        }
    }
    Some(partitions)
}

/// Reads the number of the elements that follow.
fn count(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(i32::from_be_bytes(take(bytes)?)).ok()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn partitions_are_read() {
        let bytes = [
            &[0, 3, 0, 0, 0, 2][..],
            &[0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5],
            &[0, 2, b'b', b'c', 0, 0, 0, 1, 0, 0, 0, 1],
            &[0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        assert_eq!(read(&bytes), Some(vec![("a", 0), ("a", 5), ("bc", 1)]));
        assert_eq!(read(&[]), Some(Vec::new()));
        assert_eq!(read(&bytes[..20]), None);
        assert_eq!(read(&[0, 0, 0xff, 0xff, 0xff, 0xff]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes);
        }
    }
}
