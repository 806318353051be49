//! The order of the faults.

use fastrand::Rng;

use super::fault::Fault;

/// An endless sequence of faults in random order, determined by the seed. The faults that remove
/// records from the log are the last ones of each cycle.
pub struct Schedule {
    random: Rng,
    faults: Vec<Fault>,
    cycle: Vec<Fault>,
}

impl Schedule {
    /// A sequence of the selected faults; None if none is selected.
    pub fn new(seed: u64, wanted: impl Fn(&Fault) -> bool) -> Option<Self> {
        let faults: Vec<Fault> = Fault::all().into_iter().filter(wanted).collect();
        let random = Rng::with_seed(seed);
        (!faults.is_empty()).then_some(Self { random, faults, cycle: Vec::new() })
    }
}

impl Iterator for Schedule {
    /// A fault, and a seed for its details.
    type Item = (Fault, u64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.cycle.is_empty() {
            self.cycle = self.faults.clone();
            self.random.shuffle(&mut self.cycle);
            self.cycle.sort_by_key(|fault| !fault.shortens_log());
        }
        Some((self.cycle.pop()?, self.random.u64(..)))
    }
}
