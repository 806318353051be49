//! Counts the records of a topic in windows of event time. The Spin variable `windows` names the
//! windows and the aggregates (docs/guide/windows.md).

use spin_kafka_sdk::{self as kafka, Record, Window};

/// The aggregates of the settings are added for every record; this component adds no others.
#[kafka::fold]
fn only_configured(_: &Record, _: &mut Window) {}
