//! The decoder of a group member's assignment.

use spin_kafka_trigger::decoders::assigned;

/// Checks an input.
pub fn check(bytes: &[u8]) {
    let Some(partitions) = assigned(bytes) else { return };
    assert!(partitions.len() <= bytes.len() / 4);
    assert_eq!(assigned(&encode(&partitions)), Some(partitions));
}

/// Encodes an assignment like the leader of a group. Each topic is followed by its adjacent
/// partitions.
fn encode(partitions: &[(&str, i32)]) -> Vec<u8> {
    let topics: Vec<_> = partitions.chunk_by(|one, next| one.0 == next.0).collect();
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        let name = topic[0].0;
        bytes.extend((name.len() as i16).to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend((topic.len() as i32).to_be_bytes());
        bytes.extend(topic.iter().flat_map(|(_, number)| number.to_be_bytes()));
    }
    bytes
}
