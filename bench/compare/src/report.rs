//! All results, and their presentation.

use std::fmt;

use serde::Serialize;

use crate::accept::Accept;
use crate::contender::Contender;
use crate::drain::Drain;

/// The results of every turn.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The results of the request path.
    pub accepts: Vec<Accept>,
    /// The results of the drains.
    pub drains: Vec<Drain>,
}

/// Prints the medians, with their ratio to the native pipeline, or to the one without viewers.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut connections: Vec<u32> = self.accepts.iter().map(|a| a.connections).collect();
        connections.sort_unstable();
        connections.dedup();
        for connections in connections {
            self.accept_table(f, connections)?;
        }
        if self.drains.is_empty() { Ok(()) } else { self.drain_table(f) }
    }
}

impl Report {
    fn accept_table(&self, f: &mut fmt::Formatter<'_>, connections: u32) -> fmt::Result {
        let of = |contender, figure: fn(&Accept) -> f64| {
            let turns = self.accepts.iter();
            let turns = turns.filter(|a| a.contender == contender && a.connections == connections);
            median(turns.map(figure).collect())
        };
        writeln!(
            f,
            "accept, {connections} connections          latency ms       CPU s per 100,000"
        )?;
        writeln!(f, "           sales/s  ratio    p50    p99   server   load  kafka")?;
        let viewed = self.accepts.iter().any(|accept| accept.contender == Contender::Viewed);
        let (contenders, base) = if viewed {
            (&Contender::VIEWED[..], Contender::Counting)
        } else {
            (&Contender::ACCEPT[..], Contender::Native)
        };
        for &contender in contenders {
            let rate = |contender| of(contender, |a| a.accepted_per_s);
            writeln!(
                f,
                "{contender:<9} {:>8.0} {:>6.2} {:>6.2} {:>6.2}   {:>6.2} {:>6.2} {:>6.2}",
                rate(contender),
                rate(contender) / rate(base),
                of(contender, |a| a.p50_ms),
                of(contender, |a| a.p99_ms),
                of(contender, |a| a.cpu_s.server),
                of(contender, |a| a.cpu_s.load),
                of(contender, |a| a.cpu_s.kafka),
            )?;
        }
        writeln!(f)
    }

    fn drain_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |contender, figure: fn(&Drain) -> f64| {
            let turns = self.drains.iter().filter(|d| d.contender == contender);
            median(turns.map(figure).collect())
        };
        writeln!(f, "drain                       CPU s per 100,000")?;
        writeln!(f, "           sales/s  ratio  consumer valkey  kafka")?;
        for contender in Contender::DRAIN {
            let rate = |contender| of(contender, |d| d.records_per_s);
            writeln!(
                f,
                "{contender:<9} {:>8.0} {:>6.2}    {:>6.3} {:>6.3} {:>6.3}",
                rate(contender),
                rate(contender) / rate(Contender::Native),
                of(contender, |d| d.cpu_s.consumer),
                of(contender, |d| d.cpu_s.valkey),
                of(contender, |d| d.cpu_s.kafka),
            )?;
        }
        Ok(())
    }
}

/// The median; NaN if there are no figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    let half = figures.len() / 2;
    if figures.len() % 2 == 1 { at(half) } else { (at(half.wrapping_sub(1)) + at(half)) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::DrainCpu;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn ratios_are_of_medians() {
        let cpu_s = DrainCpu { consumer: 0.5, valkey: 0.25, kafka: 0.125 };
        let turn = |contender, records_per_s| Drain { contender, records_per_s, cpu_s };
        let drains = [100.0, 900.0, 200.0].map(|rate| turn(Contender::Native, rate)).into_iter();
        let drains = drains.chain([50.0, 90.0, 1.0].map(|rate| turn(Contender::Fused, rate)));
        let shown = Report { accepts: vec![], drains: drains.collect() }.to_string();
        assert!(shown.contains("fused           50   0.25     0.500  0.250  0.125"), "{shown}");
    }
}
