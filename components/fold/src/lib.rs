//! Adds the records of a topic to windows of event time. What a record adds is the answer of
//! another component, in any language, which exports `spin-kafka:events/fold`
//! (docs/guide/windows.md).

use bindings::spin_kafka::events::fold::{
    Addition, Amount, Element, Integer, Number, Score, Value, fold,
};
use spin_kafka_sdk::bindings::handler::spin_kafka::events::types::Source;
use spin_kafka_sdk::windows::Group;
use spin_kafka_sdk::{self as kafka, OrFail as _, Record, Window};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_kafka_sdk::wit_bindgen::generate!({
        world: "doorbuster:fold/component",
        path: ["../../wit/spin-kafka-events", "world.wit"],
        with: {
            "spin-kafka:events/types@0.2.0":
                spin_kafka_sdk::bindings::handler::spin_kafka::events::types,
        },
        runtime_path: "::spin_kafka_sdk::wit_bindgen::rt",
        generate_all,
    });
}

#[kafka::fold]
fn add_all(record: &Record, window: &mut Window) -> Result<(), kafka::Error> {
    let source = Source { topic: record.topic().to_owned(), partition: record.partition() };
    for addition in fold(&source, record.content()).map_err(kafka::Error::reject)? {
        add(addition, window)?;
    }
    Ok(())
}

fn add(addition: Addition, window: &mut Window) -> Result<(), kafka::Error> {
    match addition {
        Addition::Count(Integer { aggregate, group, by }) => {
            part(window, group).count(&aggregate, by);
        }
        Addition::Sum(Amount { aggregate, group, amount }) => {
            part(window, group).sum(&aggregate, amount.parse().or_reject()?);
        }
        Addition::Average(Amount { aggregate, group, amount }) => {
            part(window, group).average(&aggregate, amount.parse().or_reject()?);
        }
        Addition::Minimum(Number { aggregate, group, number }) => {
            part(window, group).minimum(&aggregate, number);
        }
        Addition::Maximum(Number { aggregate, group, number }) => {
            part(window, group).maximum(&aggregate, number);
        }
        Addition::Distinct(Element { aggregate, group, element }) => {
            part(window, group).distinct(&aggregate, element);
        }
        Addition::Top(Score { aggregate, group, member, by }) => {
            part(window, group).top(&aggregate, member, by);
        }
        Addition::Quantiles(Value { aggregate, group, value }) => {
            part(window, group).quantiles(&aggregate, value);
        }
    }
    Ok(())
}

fn part(window: &mut Window, group: Option<String>) -> Group<'_> {
    match group {
        Some(group) => window.group(group),
        None => window.all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_addition_belongs_to_its_group_and_its_kind() {
        let (aggregate, group) = ("a".to_owned(), Some("g".to_owned()));
        let (a, g) = (&aggregate, &group);
        let amount = |group: &Option<String>| Amount {
            aggregate: a.clone(),
            group: group.clone(),
            amount: "-1.50".into(),
        };
        let number = || Number { aggregate: a.clone(), group: g.clone(), number: 2.5 };
        let added = [
            Addition::Count(Integer { aggregate: a.clone(), group: None, by: -2 }),
            Addition::Sum(amount(g)),
            Addition::Average(amount(&None)),
            Addition::Minimum(number()),
            Addition::Maximum(number()),
            Addition::Distinct(Element {
                aggregate: a.clone(),
                group: g.clone(),
                element: "e".into(),
            }),
            Addition::Top(Score { aggregate: a.clone(), group: None, member: "m".into(), by: 3 }),
            Addition::Quantiles(Value { aggregate: a.clone(), group: g.clone(), value: 9 }),
        ];
        let (mut window, mut expected) = (Window::default(), Window::default());
        for addition in added {
            add(addition, &mut window).unwrap();
        }
        expected.count("a", -2);
        expected.group("g").sum("a", "-1.5".parse().unwrap());
        expected.all().average("a", "-1.5".parse().unwrap());
        expected.group("g").minimum("a", 2.5);
        expected.group("g").maximum("a", 2.5);
        expected.group("g").distinct("a", "e");
        expected.top("a", "m", 3);
        expected.group("g").quantiles("a", 9);
        assert_eq!(window, expected);
    }

    #[test]
    fn a_text_that_is_not_a_decimal_rejects_the_record() {
        let amount = Amount { aggregate: "a".into(), group: None, amount: "1e3".into() };
        let error = add(Addition::Sum(amount), &mut Window::default()).unwrap_err();
        assert!(matches!(&error, kafka::Error::Reject(text) if text.contains("decimal")));
    }
}
