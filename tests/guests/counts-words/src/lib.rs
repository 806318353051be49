//! A test guest with windows, which the fault suite runs beside the aggregator: it counts the words
//! of texts.

use spin_kafka_sdk::{self as kafka, Record, Window};

#[derive(serde::Deserialize)]
struct Text {
    words: String,
}

#[kafka::fold]
fn count(record: &Record, window: &mut Window) -> Result<(), kafka::Error> {
    let text: Text = record.json()?;
    text.words.split_whitespace().for_each(|word| window.top("words", word, 1));
    Ok(())
}
