//! Events: what is known of a request, and how it is written.

use std::rc::Rc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Serialize;

use crate::route::Routes;

/// The methods that are distinguished.
const METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// The method of a request with another one, which clients can invent.
const OTHER_METHOD: &str = "other";

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The method of the request.
    pub method: &'a Method,
    /// The path and the query of the request.
    pub path_with_query: &'a str,
    /// The status of the response.
    pub status: StatusCode,
    /// The time from the request until the head of the response.
    pub duration: Duration,
    /// When the head of the response was there, in milliseconds since 1970.
    pub time_ms: u64,
}

/// What is counted together: a method, a route and a status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    method: &'static str,
    route: Rc<str>,
    status: u16,
}

/// A record that describes a request, or the number of those whose events were dropped.
#[derive(Debug, Clone)]
pub struct Record {
    /// The id of the event. It is also the key of the record, so that a repetition is in the same
    /// partition, and its idempotency key.
    pub id: String,
    /// The value: JSON.
    pub value: Vec<u8>,
    pub(crate) series: Series,
    pub(crate) time_ms: u64,
    /// The number of requests that are missing if the record is not written.
    pub(crate) requests: u64,
    /// Whether it is about dropped events.
    pub(crate) is_count: bool,
}

/// The fields of the value, which consumers rely on (docs/guide/middleware/analytics.md).
#[derive(Serialize)]
struct Value<'a> {
    id: &'a str,
    time_ms: u64,
    method: &'a str,
    route: &'a str,
    status: u16,
    series: String,
    duration_us: u64,
    requests: u64,
    dropped: u64,
}

impl Exchange<'_> {
    /// What the request is counted with.
    pub fn series(&self, routes: &Routes) -> Series {
        let method = METHODS.into_iter().find(|method| *method == self.method.as_str());
        Series {
            method: method.unwrap_or(OTHER_METHOD),
            route: routes.of(self.path_with_query),
            status: self.status.as_u16(),
        }
    }

    /// The event of the request. `random` makes its id unique, and keeps others from guessing it.
    pub fn record(&self, series: Series, random: u128) -> Record {
        let duration_us = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        Record::new(series, self.time_ms, random, |value| {
            (value.duration_us, value.requests) = (duration_us, 1);
        })
    }
}

impl Record {
    /// The number of requests at about this time whose events were dropped.
    pub(crate) fn of_dropped(series: Series, time_ms: u64, dropped: u64, random: u128) -> Self {
        Self::new(series, time_ms, random, |value| value.dropped = dropped)
    }

    fn new(
        series: Series,
        time_ms: u64,
        random: u128,
        complete: impl FnOnce(&mut Value<'_>),
    ) -> Self {
        let id = format!("{random:032x}");
        let Series { method, route, status } = &series;
        let mut value = Value {
            id: &id,
            time_ms,
            method,
            route,
            status: *status,
            series: format!("{method} {route} {status}"),
            duration_us: 0,
            requests: 0,
            dropped: 0,
        };
        complete(&mut value);
        let (requests, is_count) = (value.requests + value.dropped, value.dropped > 0);
        // It has no map with other keys than texts, which is the only thing that could fail.
        let value = serde_json::to_vec(&value).unwrap_or_default();
        Self { id, value, series, time_ms, requests, is_count }
    }

    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.id.len() + self.value.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange<'a>(method: &'a Method, path_with_query: &'a str) -> Exchange<'a> {
        Exchange {
            method,
            path_with_query,
            status: StatusCode::NOT_FOUND,
            duration: Duration::from_micros(1_234),
            time_ms: 1_767_225_600_123,
        }
    }

    #[test]
    fn the_value_has_nothing_of_the_client_but_method_and_route() {
        let routes = Routes::parse("/students/:id").unwrap();
        let exchange = exchange(&Method::GET, "/students/ada?token=secret");
        let record = exchange.record(exchange.series(&routes), 0xab);
        let expected = concat!(
            r#"{"id":"000000000000000000000000000000ab","time_ms":1767225600123,"method":"GET","#,
            r#""route":"/students/:id","status":404,"series":"GET /students/:id 404","#,
            r#""duration_us":1234,"requests":1,"dropped":0}"#,
        );
        assert_eq!(String::from_utf8(record.value).unwrap(), expected);
        assert_eq!(record.id, "000000000000000000000000000000ab");
    }

    #[test]
    fn a_record_about_dropped_events_has_the_same_fields() {
        let routes = Routes::parse("").unwrap();
        let method = Method::from_bytes(b"BREW").unwrap();
        let series = exchange(&method, "/pot").series(&routes);
        let record = Record::of_dropped(series, 60_000, 7, u128::MAX);
        let expected = concat!(
            r#"{"id":"ffffffffffffffffffffffffffffffff","time_ms":60000,"method":"other","#,
            r#""route":"other","status":404,"series":"other other 404","#,
            r#""duration_us":0,"requests":0,"dropped":7}"#,
        );
        assert_eq!(String::from_utf8(record.value).unwrap(), expected);
    }
}
