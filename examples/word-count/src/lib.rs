//! Counts the words of each minute and of each day. The counts of a minute are kept for a day, those
//! of a day for a week.

use spin_kafka_sdk::{self as kafka, Record, Rejection, State};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

#[kafka::batch(state = "word-count")]
fn count(records: &[Record], state: &mut State) -> Vec<Rejection> {
    let mut rejections = Vec::new();
    for record in records {
        let Some(text) = record.value().and_then(|value| str::from_utf8(value).ok()) else {
            rejections.push(record.reject("the value is not a text"));
            continue;
        };
        let time = record.timestamp_ms().unwrap_or(0);
        let minute = format!("minute:{}", time / MINUTE_MS);
        let day = format!("day:{}", time / DAY_MS);
        for word in text.split_whitespace() {
            state.hash(&minute).increment(word, 1);
            state.add_score(&day, word, 1.0);
        }
        state.expire_at(&minute, time / MINUTE_MS * MINUTE_MS + DAY_MS);
        state.expire_at(&day, (time / DAY_MS + 7) * DAY_MS);
        state.increment("texts", 1);
    }
    rejections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_in_the_minute_of_their_record() {
        let text = |offset, text: &str| Record::new("texts", 0, offset).with_value(text);
        let records = [
            text(0, "to be or not to be").with_timestamp_ms(2 * MINUTE_MS + 1),
            text(1, "be").with_timestamp_ms(3 * MINUTE_MS),
            Record::new("texts", 0, 2),
        ];
        let (mut state, mut expected) = (State::default(), State::default());
        let rejections = count(&records, &mut state);
        for (word, times) in [("to", 2), ("be", 2), ("or", 1), ("not", 1)] {
            expected.hash("minute:2").increment(word, times);
            expected.add_score("day:0", word, times as f64);
        }
        expected.hash("minute:3").increment("be", 1);
        expected.add_score("day:0", "be", 1.0);
        expected.expire_at("minute:2", 2 * MINUTE_MS + DAY_MS);
        expected.expire_at("minute:3", 3 * MINUTE_MS + DAY_MS);
        expected.expire_at("day:0", 7 * DAY_MS);
        expected.increment("texts", 2);
        assert_eq!(state, expected);
        assert_eq!(rejections, [records[2].reject("the value is not a text")]);
    }
}
