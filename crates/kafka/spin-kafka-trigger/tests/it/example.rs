//! The example with a closure as the handler.

use std::sync::{Arc, Mutex};

use rdkafka::producer::{BaseRecord, Producer as _};
use spin_kafka_trigger::FailedRecords;
use tokio_util::sync::CancellationToken;

use crate::support::cluster::{brokers, create_topic};
use crate::support::{WAIT_LIMIT, committed, config, producer, until, within};

#[path = "../../examples/print.rs"]
#[allow(dead_code, reason = "the test calls `run`, not `main`")]
mod print;

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_gets_every_record_and_may_reject_some() {
    let (brokers, topic) = (brokers(), "closure");
    create_topic(&brokers, topic, 1).await;
    let writer = producer(&brokers);
    for value in [&b"first"[..], b"\xff", b"third"] {
        let record = BaseRecord::<(), _>::to(topic).payload(value);
        writer.send(record).map_err(|(error, _)| error).unwrap();
    }
    tokio::task::block_in_place(|| writer.flush(WAIT_LIMIT)).unwrap();

    let lines = Arc::new(Mutex::new(Vec::new()));
    let printed = lines.clone();
    let stop = CancellationToken::new();
    let config = config(&brokers, topic).failed_records(FailedRecords::Skip);
    let print = move |line| printed.lock().unwrap().push(line);
    let run = tokio::spawn(print::run(config, print, stop.clone().cancelled_owned()));
    until("the commit", || committed(&brokers, topic, topic, 0) == Some(3)).await;
    stop.cancel();
    let summary = within("the drain", run).await.unwrap().unwrap();
    assert_eq!((summary.records, summary.rejections), (3, 1));
    assert_eq!(*lines.lock().unwrap(), ["closure/0@0 first", "closure/0@2 third"]);
}
