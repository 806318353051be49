//! Prints the records of a topic, with a closure as the handler.
//!
//! `cargo run --example print BROKERS TOPIC GROUP`
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::future::Future;
use std::process::ExitCode;

use spin_kafka_trigger::{Config, Error, Rejection, Summary, Trigger, handler_fn};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, group] = arguments.as_slice() else {
        eprintln!("usage: print BROKERS TOPIC GROUP");
        return ExitCode::FAILURE;
    };
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let config = Config::new(brokers, [topic], group);
    match run(config, |line| println!("{line}"), stop).await {
        Ok(summary) => {
            println!("{} records", summary.records);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Calls `print` for each record whose value is UTF-8, until `stop` resolves. The others are
/// rejected: they are written to the dead-letter topic.
pub async fn run(
    config: Config,
    print: impl Fn(String) + Clone + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) -> Result<Summary, Error> {
    let handler = handler_fn(move |batch| {
        let print = print.clone();
        async move {
            let mut rejections = Vec::new();
            for record in &batch.records {
                match std::str::from_utf8(record.value.as_deref().unwrap_or_default()) {
                    Ok(text) => print(format!(
                        "{}/{}@{} {text}",
                        batch.topic, batch.partition, record.offset
                    )),
                    Err(error) => rejections.push(Rejection::new(record.offset, error.to_string())),
                }
            }
            Ok(rejections)
        }
    });
    Trigger::run(config, handler, stop).await
}
