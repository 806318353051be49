//! A test guest for the component `state`: a function as in another language, which changes the state
//! or fails in the way that the value of a record selects.

use bindings::exports::spin_kafka::events::changes::{
    Assignment, Change, Guest, Integer, Member, Place, Read, Record, Score, Source,
};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:changes-on-command/component",
        path: ["../../../wit/spin-kafka-events", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Function;
    export!(Function);
}

type Answer = Result<Vec<Change>, String>;

struct Function;

impl Guest for Function {
    fn reads(_: Source, records: Vec<Record>) -> Vec<Read> {
        if has(&records, b"trap in reads") {
            trap();
        }
        if !has(&records, b"read") {
            return Vec::new();
        }
        let field = Some("count".to_owned());
        let ranking = Member { key: "ranking".into(), member: "m".into() };
        vec![Read::Value(Place { key: "counts".into(), field }), Read::Score(ranking)]
    }

    fn apply(source: Source, records: Vec<Record>, values: Vec<Option<Vec<u8>>>) -> Vec<Answer> {
        if has(&records, b"one result too few") {
            return Vec::new();
        }
        records.iter().map(|record| answer(&source, record, &values)).collect()
    }
}

fn has(records: &[Record], value: &[u8]) -> bool {
    records.iter().any(|record| record.value.as_deref() == Some(value))
}

fn answer(source: &Source, record: &Record, values: &[Option<Vec<u8>>]) -> Answer {
    match record.value.as_deref() {
        Some(b"count") => {
            let score = Score { key: "ranking".into(), member: "m".into(), by: 1.5 };
            Ok(vec![increment("counts", Some("count".into())), Change::AddScore(score)])
        }
        Some(b"read") => {
            let Source { topic, partition } = source;
            let place = format!("{topic}/{partition}").into_bytes();
            let read = values.iter().map(|value| value.clone().unwrap_or_default());
            let value = [place].into_iter().chain(read).collect::<Vec<_>>().join(&b' ');
            Ok(vec![Change::Set(Assignment { key: "seen".into(), field: None, value })])
        }
        Some(b"two types") => {
            Ok(vec![increment("counts", Some("count".into())), increment("counts", None)])
        }
        Some(b"trap") => trap(),
        _ => Err("as requested".into()),
    }
}

fn increment(key: &str, field: Option<String>) -> Change {
    Change::Increment(Integer { key: key.into(), field, by: 1 })
}

#[expect(clippy::panic, reason = "that is what it is for")]
fn trap() -> ! {
    panic!("as requested");
}
