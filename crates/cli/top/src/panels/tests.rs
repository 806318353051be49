//! What the panels contain.

use super::*;
use crate::sources::Update;
use crate::state::State;
use crate::table::Panel;
use crate::testing::{broken, later, sources, state};

fn rows(panel: &Panel, width: usize) -> Vec<String> {
    panel.lines(width).iter().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn the_sales_have_totals_rates_and_prices() {
    let (state, _) = state(1);
    let panel = sales(&state);
    let sums = "1,010 counted, 10.0/s, 2,020 units, price 499.99 (0.50 to 999.99)";
    assert_eq!(panel.sums, sums);
    assert_eq!(
        rows(&panel, 80)[..2],
        [
            "Electronica      1,000      2,000     499.99 tv-42          ▁█▅",
            "Ropa                10         20          - -",
        ]
    );
}

#[test]
fn the_products_are_ranked() {
    let (state, _) = state(1);
    let panel = products(&state);
    assert_eq!(panel.title(), "Products: top of 512");
    assert_eq!(rows(&panel, 24), [" 1 tv-42           1,500", " 2 radio             520"]);
}

#[test]
fn the_http_components_of_all_processes_are_added() {
    let bridge = "bridge               0      0      0       -     0    0";
    let one = "ingest             500    1.0    2.0   99 ms     3    2";
    let two = "ingest           1,000    2.0    4.0   99 ms     6    4";
    assert_eq!(rows(&http(&state(1).0), 55), [bridge, one]);
    assert_eq!(rows(&http(&state(2).0), 55), [bridge, two]);
}

#[test]
fn requests_without_an_answer_of_a_component_are_counted() {
    let (mut state, now) = state(2);
    let mut metrics = state.processes[0].metrics.window.latest().unwrap().clone();
    metrics.unrouted = 5.0;
    metrics.http.values_mut().for_each(|http| http.abandoned = 1_000.0);
    state.apply(Update::Metrics(1, Ok(metrics)), now);
    assert_eq!(http(&state).title(), "HTTP: without a route 5, caller left 2,000");
}

#[test]
fn the_partitions_have_lag_and_age() {
    let (state, _) = state(1);
    let panel = kafka(&state);
    let sums = "lag 12, dead letters 3, retries 4, written 510/s, applied 500/s, instances 1";
    assert_eq!(panel.sums, sums);
    let first = "sales/0                                   aggregator                 12    1.5 s";
    assert_eq!(rows(&panel, 80)[0], first);
    assert_eq!(panel.rows.len(), 3);
}

#[test]
fn rates_are_unknown_while_a_source_fails() {
    let (mut state, now) = state(1);
    for update in broken(1) {
        state.apply(update, later(now, 1));
    }
    assert!(sales(&state).sums.starts_with("1,010 counted, -/s, "), "{}", sales(&state).sums);
    assert!(kafka(&state).sums.contains("dead letters 3, retries 4, written -/s, applied -/s"));
    let ingest = &rows(&http(&state), 55)[1];
    assert!(ingest.ends_with("      -      -      -       -     3    2"), "{ingest}");
}

#[test]
fn nothing_is_shown_before_the_first_answer() {
    let state = State::new(&sources(1));
    for panel in [sales(&state), products(&state), http(&state), kafka(&state)] {
        assert_eq!((panel.rows.len(), panel.sums.as_str()), (0, ""), "{}", panel.name);
    }
}

#[test]
fn a_partition_that_changes_its_owner_is_shown_once() {
    let (mut state, now) = state(2);
    let mut metrics = state.processes[0].metrics.window.latest().unwrap().clone();
    metrics.partitions.values_mut().for_each(|partition| partition.lag = 100.0);
    state.apply(Update::Metrics(1, Ok(metrics)), now);
    let panel = kafka(&state);
    assert_eq!(panel.rows.len(), 3);
    assert!(panel.sums.starts_with("lag 300, "), "{}", panel.sums);
}
