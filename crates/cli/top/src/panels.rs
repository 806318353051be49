//! The panels of the view.

mod http;
mod kafka;
mod sales;
#[cfg(test)]
mod tests;

use crate::metrics::Metrics;
use crate::state::Process;
use crate::window::Window;

pub use http::http;
pub use kafka::kafka;
pub use sales::{products, sales};

fn windows(processes: &[Process]) -> impl Iterator<Item = &Window<Metrics>> {
    processes.iter().map(|process| &process.metrics.window)
}

/// The sum of the latest values.
fn total(processes: &[Process], read: impl Fn(&Metrics) -> f64) -> f64 {
    windows(processes).filter_map(Window::latest).map(read).sum()
}

/// The sum of the rates that are known; `None` if there are none.
fn total_rate(processes: &[Process], read: impl Fn(&Metrics) -> f64) -> Option<f64> {
    windows(processes).filter_map(|window| window.rate(&read)).reduce(|sum, rate| sum + rate)
}
