//! Counts posts about the weather by country and by weather. The same component reads them from Kafka
//! and from RabbitMQ.

use serde::Deserialize;
use spin_kafka_sdk::{self as kafka, Failure, Json, Record, Rejection, State};

/// The values of the field `weather`, as in the schema of `spin.toml`.
const WEATHER: [&str; 7] = ["clear", "cloudy", "fog", "rain", "snow", "storm", "wind"];

/// The most bytes of a description. A character of the schema has at most four.
const DESCRIPTION_BYTES_MAX: usize = 4 * 280;

/// A post, as it arrives at a front door.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Post {
    /// What the author wrote.
    description: String,
    /// Two capital letters, as in ISO 3166-1.
    country: String,
    /// One of [`WEATHER`].
    weather: String,
}

impl Post {
    /// Checks the limits of the schema again: other programs may write to the topic or the queue, too.
    fn check(&self) -> Result<(), &'static str> {
        let Self { description, country, weather } = self;
        if description.is_empty() || description.len() > DESCRIPTION_BYTES_MAX {
            return Err("`description` is empty or too long");
        }
        if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err("`country` must be two capital letters");
        }
        if !WEATHER.contains(&&**weather) {
            return Err("`weather` is unknown");
        }
        Ok(())
    }
}

#[kafka::batch(state = "weather")]
fn count(records: &[Record], state: &mut State) -> Result<Vec<Rejection>, Failure> {
    let (posts, mut rejections) = kafka::parse::<Json<Post>>(records)?;
    for (record, Json(post)) in posts {
        match post.check() {
            Ok(()) => {
                state.increment("posts", 1);
                state.hash("countries").increment(post.country, 1);
                state.hash("weather").increment(post.weather, 1);
            }
            Err(reason) => rejections.push(record.reject(reason)),
        }
    }
    Ok(rejections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_are_counted_by_country_and_by_weather_and_others_are_rejected() {
        let long = format!(
            r#"{{"description":"{}","country":"GT","weather":"fog"}}"#,
            "x".repeat(DESCRIPTION_BYTES_MAX + 1)
        );
        let values = [
            r#"{"description":"Wet.","country":"GT","weather":"rain"}"#,
            r#"{"description":"Cold.","country":"PE","weather":"rain"}"#,
            r#"{"description":"","country":"GT","weather":"rain"}"#,
            r#"{"description":"Hot.","country":"gt","weather":"clear"}"#,
            r#"{"description":"Odd.","country":"GT","weather":"frogs"}"#,
            r#"{"description":"More.","country":"GT","weather":"fog","wind":1}"#,
            r#"["Array.","GT","fog"]"#,
            "rain",
            &long,
        ];
        let record = |(offset, value): (i64, &&str)| {
            Record::new("tweets-topic", 0, offset).with_value(*value)
        };
        let records: Vec<_> = (0..).zip(&values).map(record).collect();
        let (mut state, mut expected) = (State::default(), State::default());
        let rejections = count(&records, &mut state).unwrap();
        expected.increment("posts", 2);
        expected.hash("countries").increment("GT", 1);
        expected.hash("countries").increment("PE", 1);
        expected.hash("weather").increment("rain", 2);
        assert_eq!(state, expected);
        assert_eq!(rejections.len(), records.len() - 2);
    }
}
