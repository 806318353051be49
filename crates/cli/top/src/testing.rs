//! Sources and answers for tests.

use std::time::Duration;

use hyper::StatusCode;

use crate::args::parse_base;
use crate::error::FetchError;
use crate::metrics::Metrics;
use crate::snapshot::{Category, Price, Prices, Ranked, Ranking, Snapshot, Totals};
use crate::sources::{Sources, Update};
use crate::state::{Now, State};

/// An application with this many processes.
pub fn sources(processes: usize) -> Sources {
    let operators = (1..=processes).map(|number| parse_base(&format!("shop:{}", 3_000 + number)));
    Sources::new(parse_base("shop:3000").unwrap(), operators.collect::<Result<_, _>>().unwrap())
}

/// A later moment.
pub fn later(now: Now, seconds: u64) -> Now {
    let after = Duration::from_secs(seconds);
    Now { instant: now.instant + after, time: now.time + after }
}

/// A state that was read twice within a second, and the time of the second reading.
pub fn state(processes: usize) -> (State, Now) {
    let (mut state, now) = (State::new(&sources(processes)), Now::read());
    for seconds in [0, 1] {
        for update in answered(processes, seconds) {
            state.apply(update, later(now, seconds));
        }
    }
    (state, later(now, 1))
}

/// The answers of a healthy pipeline after this many seconds.
pub fn answered(processes: usize, seconds: u64) -> Vec<Update> {
    let process =
        |at| [Update::Metrics(at, Ok(metrics(seconds))), Update::Readiness(at, Ok(Vec::new()))];
    let snapshot = Update::Snapshot(Ok(snapshot(seconds)));
    std::iter::once(snapshot).chain((0..processes).flat_map(process)).collect()
}

/// The answers while Valkey and the processes cannot be reached.
pub fn broken(processes: usize) -> Vec<Update> {
    let refused = || FetchError::Unreachable("Connection refused".into());
    let unavailable = FetchError::Status {
        status: StatusCode::SERVICE_UNAVAILABLE,
        detail: "Valkey cannot be reached".into(),
    };
    let process = |at| [Update::Metrics(at, Err(refused())), Update::Readiness(at, Err(refused()))];
    let snapshot = Update::Snapshot(Err(unavailable));
    std::iter::once(snapshot).chain((0..processes).flat_map(process)).collect()
}

fn snapshot(seconds: u64) -> Snapshot {
    let category = |categoria, name: &str, sales, product: Option<&str>| Category {
        categoria,
        name: name.into(),
        sales,
        units: 2 * sales,
        average_price: product.map(|_| 499.99),
        monitored_product: product.map(Into::into),
    };
    let prices = |categoria, prices: &[f64]| Prices {
        categoria,
        prices: prices.iter().map(|price| Price { price: *price }).collect(),
    };
    let product = |rank, name: &str, units| Ranked { rank, producto_id: name.into(), units };
    let sales = 1_000 + 10 * seconds;
    Snapshot {
        totals: Totals {
            sales,
            units: 2 * sales,
            average_price: Some(499.99),
            price_min: Some(0.5),
            price_max: Some(999.99),
        },
        categories: vec![
            category(1, "Electronica", 1_000, Some("tv-42")),
            category(2, "Ropa", 10 * seconds, None),
            category(3, "Hogar", 0, None),
            category(4, "Belleza", 0, None),
            category(0, "Otros", 0, None),
        ],
        rankings: vec![Ranking {
            categoria: None,
            total: 512,
            products: vec![product(1, "tv-42", 1_500), product(2, "radio", 500 + 20 * seconds)],
        }],
        prices: vec![prices(1, &[0.0, 10.0, 5.0]), prices(2, &[])],
    }
}

/// A process that has 500 answers, one 4xx and two 5xx each second.
fn metrics(seconds: u64) -> Metrics {
    let requests = 500 * seconds;
    let text = format!(
        r#"# TYPE spin_http_requests counter
spin_http_requests_total{{component="ingest",code="200"}} {requests}
spin_http_requests_total{{component="ingest",code="400"}} {seconds}
spin_http_requests_total{{component="ingest",code="503"}} {errors}
spin_http_request_duration_seconds_bucket{{component="ingest",le="0.1"}} {requests}
spin_http_request_duration_seconds_bucket{{component="ingest",le="+Inf"}} {requests}
spin_http_requests_waiting{{component="ingest"}} 3
spin_http_instances{{component="ingest"}} 2
spin_http_instances{{component="bridge"}} 0
spin_kafka_lag{{component="aggregator",topic="sales",partition="0"}} 12
spin_kafka_lag{{component="aggregator",topic="sales",partition="1"}} 0
spin_kafka_lag{{component="aggregator",topic="sales",partition="2"}} 0
spin_kafka_oldest_record_seconds{{component="aggregator",topic="sales",partition="0"}} 1.5
spin_kafka_records_total{{component="aggregator"}} {requests}
spin_kafka_dead_letters_total{{component="aggregator"}} 3
spin_kafka_retries_total{{component="aggregator"}} 4
spin_kafka_instances{{component="aggregator"}} 1
kafka_producer_delivered_total {written}
# EOF
"#,
        errors = 2 * seconds,
        written = 510 * seconds,
    );
    Metrics::read(&text).unwrap()
}
