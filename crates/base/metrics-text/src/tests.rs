use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::*;

fn one(line: &str) -> Result<Sample<'_>, NotASample> {
    let mut lines = lines(line);
    let sample = lines.next().unwrap().sample();
    assert_eq!(lines.next(), None, "{line}");
    sample
}

#[test]
fn a_line_has_a_name_labels_a_value_and_a_time() {
    let text = "# TYPE a counter\n\na_total{component=\"ingest\", code=\"200\",} 12.5 1700000000123\n# EOF";
    let found: Vec<_> = lines(text).collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].number, found[0].name), (3, "a_total"));
    let sample = found[0].sample().unwrap();
    assert_eq!((sample.label("component"), sample.label("code")), ("ingest", "200"));
    assert_eq!((sample.label("pod"), sample.value), ("", 12.5));
    assert_eq!(sample.time_ms, Some(1_700_000_000_123));
    assert_eq!(one("a 1 1700000000.123").unwrap().time_ms, Some(1_700_000_000_123));
    assert_eq!(one("a{} +Inf").unwrap().value, f64::INFINITY);
    assert!(one("a NaN").unwrap().value.is_nan());
    let exemplar = one(r##"a_total{x="}"} 3 # {trace_id="\"1"} 0.5 1.0"##).unwrap();
    assert_eq!((exemplar.label("x"), exemplar.count(), exemplar.time_ms), ("}", 3, None));
    let escaped = r#"a{x="one \"two\" \\ \n=,}ñ"} 1"#;
    assert_eq!(one(escaped).unwrap().label("x"), "one \"two\" \\ \n=,}ñ");
}

#[test]
fn a_value_that_is_no_count_counts_as_zero() {
    for (value, count) in [("NaN", 0), ("-3", 0), ("+Inf", u64::MAX), ("1e3", 1_000)] {
        assert_eq!(one(&format!("a {value}")).unwrap().count(), count, "{value}");
    }
}

#[test]
fn other_lines_are_no_samples() {
    for line in [
        "a",
        "a ",
        "a one",
        "1a 1",
        "a-b 1",
        "{a=\"b\"} 1",
        "a{",
        "a{x} 1",
        "a{x=1} 1",
        "a{x=\"1} 1",
        "a{x=\"1\" 1",
        "a{x=\"1\\\"} 1",
        "a 1 soon",
        "a 1 NaN",
        "<html>",
    ] {
        assert_eq!(one(line), Err(NotASample { line: 1 }), "{line}");
    }
}

#[test]
fn what_a_registry_encodes_is_read_back() {
    let mut registry = Registry::default();
    let requests = Family::<Vec<(String, String)>, Counter>::default();
    registry.register("requests", "Requests", requests.clone());
    let component = "a \"b\" \\ c\nd";
    requests.get_or_create(&vec![("component".into(), component.into())]).inc_by(3);
    let seconds = Histogram::new([0.5]);
    seconds.observe(0.7);
    registry.register("seconds", "Duration", seconds);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let value = |name: &str, label: &str, value: &str| {
        let mut samples = lines(&text).filter(|line| line.name == name);
        samples.find_map(|line| {
            let sample = line.sample().unwrap();
            (sample.label(label) == value).then_some(sample.value)
        })
    };
    assert_eq!(value("requests_total", "component", component), Some(3.0), "{text}");
    assert_eq!(value("seconds_bucket", "le", "0.5"), Some(0.0), "{text}");
    assert_eq!(value("seconds_bucket", "le", "+Inf"), Some(1.0), "{text}");
}

#[test]
fn families_have_the_descriptions_of_a_registry() {
    let mut registry = Registry::default();
    let requests = Family::<Vec<(String, String)>, Counter>::default();
    registry.register("requests", "Answered requests", requests.clone());
    requests.get_or_create(&vec![("code".into(), "200".into())]).inc_by(3);
    let seconds = Histogram::new([0.5]);
    seconds.observe(0.7);
    registry.register_with_unit("time", "Duration", Unit::Seconds, seconds);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let families = families(&text).unwrap();
    let described: Vec<_> = families.iter().map(|f| (f.name, f.kind, f.unit, f.help)).collect();
    assert_eq!(
        described,
        [
            ("requests", "counter", "", "Answered requests."),
            ("time_seconds", "histogram", "seconds", "Duration."),
        ]
    );
    let (suffix, sample) = &families[0].samples[0];
    assert_eq!((*suffix, sample.value), ("_total", 3.0));
    assert_eq!(sample.labels().collect::<Vec<_>>(), [("code", "200")]);
    let suffixes: Vec<_> = families[1].samples.iter().map(|(suffix, _)| *suffix).collect();
    assert_eq!(suffixes, ["_sum", "_count", "_bucket", "_bucket"]);
}

#[test]
fn samples_without_a_description_are_metrics_of_their_own() {
    let text = "# a comment\n#\n# TYPE up gauge\nup 1\nupper 2\n\nother{a=\"b\"} 3\nother 4\n";
    let families = families(text).unwrap();
    let found: Vec<_> = families.iter().map(|f| (f.name, f.kind, f.samples.len())).collect();
    assert_eq!(found, [("up", "gauge", 1), ("upper", "", 1), ("other", "", 2)]);
    assert_eq!(super::families("# TYPE up gauge\nup one\n"), Err(NotASample { line: 2 }));
}
