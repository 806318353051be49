//! The instruments of the metrics: those of `prometheus-client`, or with the same methods without
//! that library.

#[cfg(feature = "metrics")]
pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};

#[cfg(not(feature = "metrics"))]
pub use plain::{Counter, Gauge, Histogram};

#[cfg(not(feature = "metrics"))]
mod plain {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    /// A number that only grows.
    #[derive(Debug, Clone, Default)]
    pub struct Counter(Arc<AtomicU64>);

    impl Counter {
        /// Adds one. Returns the value before.
        pub fn inc(&self) -> u64 {
            self.inc_by(1)
        }

        /// Adds a number. Returns the value before.
        pub fn inc_by(&self, number: u64) -> u64 {
            self.0.fetch_add(number, Ordering::Relaxed)
        }

        /// The value.
        pub fn get(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// A number that grows and shrinks.
    #[derive(Debug, Clone, Default)]
    pub struct Gauge(Arc<AtomicI64>);

    impl Gauge {
        /// Adds one. Returns the value before.
        pub fn inc(&self) -> i64 {
            self.0.fetch_add(1, Ordering::Relaxed)
        }

        /// Subtracts one. Returns the value before.
        pub fn dec(&self) -> i64 {
            self.0.fetch_sub(1, Ordering::Relaxed)
        }

        /// The value.
        pub fn get(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// Keeps nothing: a distribution can be read only with the feature `metrics`.
    #[derive(Debug, Clone, Default)]
    pub struct Histogram(());

    impl Histogram {
        /// Does nothing.
        pub fn observe(&self, _: f64) {}
    }
}
