//! The HTTP components.

use std::collections::BTreeSet;

use super::{total, total_rate, windows};
use crate::latency::{Latency, Quantile};
use crate::metrics::{HttpMetrics, Metrics};
use crate::state::{Process, State};
use crate::table::{Cell, Column, Panel, Width};
use crate::text::{UNKNOWN, count, duration, rate};

const HTTP_COLUMNS: [Column; 7] = [
    Column::left("COMPONENT", Width::Rest),
    Column::right("OK/S", 6),
    Column::right("4XX/S", 6),
    Column::right("5XX/S", 6),
    Column::right("P99", 7),
    Column::right("WAIT", 5),
    Column::right("INST", 4),
];

/// The HTTP components of all processes.
pub fn http(state: &State) -> Panel {
    let processes = &state.processes;
    let known = processes.iter().filter_map(|process| process.metrics.window.latest());
    let components: BTreeSet<_> = known.flat_map(|metrics| metrics.http.keys()).collect();
    let rows = components.into_iter().map(|component| http_row(processes, component)).collect();
    Panel::new("HTTP", sums(processes), &HTTP_COLUMNS, rows, "no HTTP metrics")
}

/// The counters that belong to no column; `None` if all of them are zero.
fn sums(processes: &[Process]) -> Option<String> {
    let of_all = |metrics: &Metrics| metrics.http.values().map(|http| http.abandoned).sum();
    let counters = [
        ("without a route", total(processes, |metrics| metrics.unrouted)),
        ("caller left", total(processes, of_all)),
    ];
    let counters = counters.into_iter().filter(|(_, value)| *value > 0.0);
    let texts: Vec<_> = counters.map(|(name, value)| format!("{name} {}", count(value))).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn http_row(processes: &[Process], component: &str) -> Vec<Cell> {
    let of = |read: fn(&HttpMetrics) -> f64| {
        move |metrics: &Metrics| metrics.http.get(component).map_or(0.0, read)
    };
    let per_second = |read: fn(&HttpMetrics) -> f64| rate(total_rate(processes, of(read)));
    let now = |read: fn(&HttpMetrics) -> f64| count(total(processes, of(read)));
    let mut latency = Latency::default();
    for window in windows(processes) {
        latency.merge(&window.growth(|metrics| Some(&metrics.http.get(component)?.latency)));
    }
    let p99 = match latency.quantile(0.99) {
        None => UNKNOWN.into(),
        Some(Quantile::At(seconds)) => duration(seconds),
        Some(Quantile::Above(seconds)) => format!(">{}", duration(seconds)),
    };
    vec![
        component.into(),
        per_second(|http| http.accepted).into(),
        per_second(|http| http.client_errors).into(),
        per_second(|http| http.server_errors).into(),
        p99.into(),
        now(|http| http.waiting).into(),
        now(|http| http.instances).into(),
    ]
}
