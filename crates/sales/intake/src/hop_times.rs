//! How long each hop took for one sale, and the header `Server-Timing` that reports it:
//! `ingest;dur=4.125, bridge;dur=3.690, writer;dur=3.107, kafka;dur=2.951`.
//!
//! The times are in milliseconds, and in the order of the sale's path. Each one includes those that
//! follow it. They are measured only if the trace of the sale is sampled, so other sales cost
//! nothing more.

use std::fmt::Write as _;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::request::Context;

/// The name of the header.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Maximum number of times for one sale. The pipeline has four.
pub const HOPS_MAX: usize = 8;

/// Maximum length of a hop's name, in bytes.
const NAME_BYTES_MAX: usize = 32;

/// Maximum length of the header's value, in bytes. A longer one is ignored.
pub const VALUE_BYTES_MAX: usize = 512;

/// Maximum length of one time in the header: the name, `;dur=`, a number and a separator.
const TIME_BYTES_MAX: usize = NAME_BYTES_MAX + ";dur=".len() + "18446744073709.551".len() + 2;
const _: () = assert!(HOPS_MAX * TIME_BYTES_MAX <= VALUE_BYTES_MAX, "the next hop reads all times");

const NS_PER_MS: f64 = 1e6;

/// How long a hop took for a sale; the record `doorbuster:sales/types.hop-time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopTime {
    /// The name of the hop.
    pub hop: String,
    /// The time with that of the later hops, in nanoseconds.
    pub duration_ns: u64,
}

/// Measures the time of one hop, if the trace of the sale is sampled.
#[derive(Debug, Clone, Copy)]
pub struct HopTimer<'a> {
    hop: &'a str,
    begun: Option<Instant>,
}

impl<'a> HopTimer<'a> {
    /// Starts to measure, if the trace is sampled.
    pub fn start(hop: &'a str, context: &Context) -> Self {
        Self { hop, begun: context.is_sampled().then(Instant::now) }
    }

    /// Starts to measure a later hop of the same request.
    pub fn later<'b>(&self, hop: &'b str) -> HopTimer<'b> {
        HopTimer { hop, begun: self.begun.map(|_| Instant::now()) }
    }

    /// The time of this hop, and then those of the later hops. Empty if the trace is not sampled.
    pub fn stop(self, later: Vec<HopTime>) -> Vec<HopTime> {
        let Some(begun) = self.begun else { return Vec::new() };
        let duration_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let own = HopTime { hop: self.hop.into(), duration_ns };
        std::iter::once(own).chain(later).take(HOPS_MAX).collect()
    }
}

/// Adds the times to the headers of a response; nothing if there are none.
pub fn insert(headers: &mut HeaderMap, times: &[HopTime]) {
    if times.is_empty() {
        return;
    }
    // Fails only if a component of the application returned a name that is not valid in a header.
    if let Ok(value) = HeaderValue::from_str(&format(times)) {
        headers.insert(SERVER_TIMING, value);
    }
}

fn format(times: &[HopTime]) -> String {
    let mut value = String::new();
    for (index, HopTime { hop, duration_ns }) in times.iter().take(HOPS_MAX).enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let ms = *duration_ns as f64 / NS_PER_MS;
        // Writing to a `String` cannot fail.
        let _written = write!(value, "{separator}{hop};dur={ms:.3}");
    }
    value
}

/// The times in the headers of the next hop's response. A value that does not have the form of this
/// module is ignored: the times are only informative.
pub fn read(headers: &HeaderMap) -> Vec<HopTime> {
    let value = headers.get(SERVER_TIMING).and_then(|value| value.to_str().ok());
    value.and_then(parse).unwrap_or_default()
}

/// Whether a text is a name of a hop: 1 to 32 lowercase letters, digits and hyphens.
pub fn is_name(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_legal)
}

fn parse(value: &str) -> Option<Vec<HopTime>> {
    if value.len() > VALUE_BYTES_MAX || value.split(',').count() > HOPS_MAX {
        return None;
    }
    value.split(',').map(parse_time).collect()
}

fn parse_time(text: &str) -> Option<HopTime> {
    let (hop, ms) = text.trim_matches([' ', '\t']).split_once(";dur=")?;
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if !is_name(hop) || !ms.bytes().all(is_number) {
        return None;
    }
    let ms: f64 = ms.parse().ok()?;
    // The conversion saturates.
    Some(HopTime { hop: hop.into(), duration_ns: (ms * NS_PER_MS).round() as u64 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(hop: &str, duration_ns: u64) -> HopTime {
        HopTime { hop: hop.into(), duration_ns }
    }

    fn read_value(value: &str) -> Vec<HopTime> {
        read(&HeaderMap::from_iter([(SERVER_TIMING, value.parse().unwrap())]))
    }

    fn context(flags: &str) -> Context {
        let traceparent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        Context { idempotency_key: None, traceparent: Some(traceparent) }
    }

    #[test]
    fn the_header_has_the_times_in_milliseconds() {
        let times = [time("ingest", 4_125_000), time("bridge", 3_690_400), time("kafka", 999_600)];
        let mut headers = HeaderMap::new();
        insert(&mut headers, &times);
        let value = headers.get(SERVER_TIMING).unwrap();
        assert_eq!(value, "ingest;dur=4.125, bridge;dur=3.690, kafka;dur=1.000");
        let rounded =
            [time("ingest", 4_125_000), time("bridge", 3_690_000), time("kafka", 1_000_000)];
        assert_eq!(read(&headers), rounded);
        let mut headers = HeaderMap::new();
        insert(&mut headers, &[]);
        assert!(headers.is_empty());
    }

    #[test]
    fn other_values_are_ignored() {
        assert_eq!(read(&HeaderMap::new()), []);
        assert_eq!(
            read_value("a-1;dur=7,b;dur=0.5 ,\tc;dur=1."),
            [time("a-1", 7_000_000), time("b", 500_000), time("c", 1_000_000)]
        );
        let long_name = format!("{};dur=1", "a".repeat(NAME_BYTES_MAX + 1));
        let many = ["a;dur=1"; HOPS_MAX + 1].join(",");
        let long = format!("a;dur={}", "1".repeat(VALUE_BYTES_MAX));
        for other in [
            "",
            ",",
            "a",
            "a;dur",
            "a;dur=",
            ";dur=1",
            "A;dur=1",
            "a b;dur=1",
            "a;dur=-1",
            "a;dur=+1",
            "a;dur=1e3",
            "a;dur=nan",
            "a;dur=inf",
            "a;dur=1.2.3",
            "a;dur=.",
            "a;dur=1;desc=b",
            "a;desc=\"b, c;dur=1\"",
            "a;dur=1,",
            "a;dur=1,b",
            &long_name,
            &many,
            &long,
        ] {
            assert_eq!(read_value(other), [], "{other}");
        }
    }

    #[test]
    fn only_sampled_traces_are_measured() {
        let later = || vec![time("bridge", 1)];
        for flags in ["00", "02", "fe"] {
            assert_eq!(HopTimer::start("ingest", &context(flags)).stop(later()), [], "{flags}");
        }
        let off = HopTimer::start("ingest", &Context::default());
        assert_eq!((off.stop(later()), off.later("kafka").stop(later())), (vec![], vec![]));
        for flags in ["01", "03", "ff"] {
            let times = HopTimer::start("ingest", &context(flags)).stop(later());
            assert_eq!((&*times[0].hop, &times[1..]), ("ingest", &later()[..]), "{flags}");
        }
    }

    #[test]
    fn a_time_includes_those_of_later_hops() {
        let outer = HopTimer::start("ingest", &context("01"));
        let inner = outer.later("bridge");
        std::thread::yield_now();
        let times = outer.stop(inner.stop(Vec::new()));
        assert!(times[0].duration_ns >= times[1].duration_ns, "{times:?}");
        let full = vec![time("hop", 1); HOPS_MAX];
        assert_eq!(outer.stop(full).len(), HOPS_MAX);
    }

    proptest! {
        #[test]
        fn the_next_hop_reads_the_same_times(
            times in prop::collection::vec(("[a-z0-9-]{1,32}", any::<u64>()), 0..=HOPS_MAX)
        ) {
            let times: Vec<_> = times.into_iter().map(|(hop, ns)| time(&hop, ns)).collect();
            let mut headers = HeaderMap::new();
            insert(&mut headers, &times);
            let found = read(&headers);
            prop_assert_eq!(found.len(), times.len());
            for (found, time) in found.iter().zip(&times) {
                prop_assert_eq!(&found.hop, &time.hop);
                // Half a microsecond, and the precision of a floating-point number.
                let tolerance = 500 + time.duration_ns / (1 << 50);
                prop_assert!(found.duration_ns.abs_diff(time.duration_ns) <= tolerance);
            }
        }
    }
}
