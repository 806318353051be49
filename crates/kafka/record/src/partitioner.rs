//! The partitioner of the Java client.

/// The partition of a key. `partitions` is the number of partitions of the topic, at least 1.
pub fn partition(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & i32::MAX).checked_rem(partitions).unwrap_or(0)
}

/// The 32-bit murmur2 hash with Kafka's seed.
fn murmur2(data: &[u8]) -> i32 {
    const MIX: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    // The Java client hashes the length as a 32-bit integer.
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        word = (word ^ (word >> 24)).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ word;
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| rest << 8 | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    (hash ^ (hash >> 15)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of Kafka's own `Utils.murmur2`.
    #[test]
    fn javas_vectors() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
        assert_eq!(murmur2(b"abc"), 479_470_107);
    }

    #[test]
    fn always_a_partition() {
        for length in 0..64_u8 {
            let key: Vec<u8> = (0..length).map(|n: u8| n.wrapping_mul(37)).collect();
            assert!((0..7).contains(&partition(&key, 7)));
        }
        assert_eq!(partition(b"key", 0), 0);
    }
}
