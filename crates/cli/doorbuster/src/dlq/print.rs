//! Prints dead letters.

use printing::{Unwritten, one_line};
use spin_kafka_trigger::{DeadLetter, headers};

use crate::bytes::shown;

/// The longest reason in a list, in characters; `show` prints the whole reason.
const REASON_CHARS: usize = 80;

/// Prints the first line of the list.
pub fn heading() -> Result<(), Unwritten> {
    printing::result(format_args!(
        "{:<10} {:<6} {:<20} {:<9} {:>8} {:<30} REASON",
        "LETTER", "STATE", "TIME", "CLASS", "ATTEMPTS", "FROM"
    ))
}

/// Prints one letter as a line of the list.
pub fn line(letter: &DeadLetter) -> Result<(), Unwritten> {
    let header = |name| one_line(letter.header(name).unwrap_or("-"));
    let at = format!("{}/{}", letter.partition, letter.record.offset);
    let state = if letter.open { "open" } else { "sent" };
    let time: String = header(headers::TIME).chars().take(19).collect();
    let from = format!(
        "{}/{}@{}",
        header(headers::TOPIC),
        header(headers::PARTITION),
        header(headers::OFFSET)
    );
    let reason: String = header(headers::REASON).chars().take(REASON_CHARS).collect();
    let (class, attempts) = (header(headers::CLASS), header(headers::ATTEMPTS));
    printing::result(format_args!(
        "{at:<10} {state:<6} {time:<20} {class:<9} {attempts:>8} {from:<30} {reason}"
    ))
}

/// Prints one letter completely.
pub fn letter(letter: &DeadLetter) -> Result<(), Unwritten> {
    let record = &letter.record;
    let state = if letter.open { "open" } else { "sent back" };
    printing::result(format_args!("letter    {}/{}", letter.partition, record.offset))?;
    printing::result(format_args!("state     {state}"))?;
    for header in &record.headers {
        let (name, value) = (one_line(&header.name), shown(header.value.as_deref()));
        printing::result(format_args!("header    {name}: {value}"))?;
    }
    printing::result(format_args!("key       {}", shown(record.key.as_deref())))?;
    printing::result(format_args!("value     {}", shown(record.value.as_deref())))
}
