//! Compares the counts of a running application with a recount, window by window.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

use crate::recount::{
    Difference, Gap, Ignored, Live, PositionKeys, Positions, PrivateRun, Subject, Topics, Walk,
    Window, copy, differences,
};

/// Maximum number of differences that are kept. Further ones are left out until these are gone.
const KEPT_MAX: usize = 1_000;

/// The comparison of a running application with a recount in a private store.
pub struct Comparison {
    run: PrivateRun,
    live: Live,
    positions: PositionKeys,
    ignored: Ignored,
    walk: Walk,
    /// The positions of the first window of the present pass through the keys.
    pass_began: Option<Positions>,
    /// The positions of the first window of the last complete pass.
    last_pass: Positions,
    /// The differences that exist, by place.
    known: BTreeMap<String, Known>,
    /// The places that differed in the present pass.
    differing: BTreeSet<String>,
}

/// A difference that was found.
#[derive(Debug, Clone)]
pub struct Known {
    pub difference: Difference,
    /// The positions at which the values were equal last; nothing if they never were.
    pub equal_at: Positions,
    /// The positions at which they differed.
    pub differs_at: Positions,
}

/// Where a comparison begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At the beginning of the log.
    Log,
    /// With a copy of what is stored at present, which is assumed to be right.
    Present,
}

/// The result of comparing one window.
pub enum Step {
    /// The application has not yet counted what is counted again. Its store has lost updates, or
    /// another one was promoted.
    Behind(Vec<Gap>),
    Compared(Compared),
}

/// The result of comparing one window at equal positions.
pub struct Compared {
    pub positions: Positions,
    /// Number of values.
    pub values: usize,
    /// The differences that were not known.
    pub found: Vec<Known>,
    /// The places that are equal again. Only known at the end of a pass.
    pub settled: Vec<String>,
    /// Whether every key was compared since the last end of a pass.
    pub is_pass_end: bool,
}

impl Comparison {
    /// Counts the first record of each partition, or copies what is stored at present. Without a
    /// copy the log must be complete.
    pub async fn start(
        subject: &Subject,
        topics: &Topics,
        mut run: PrivateRun,
        begin: Begin,
    ) -> Result<Self> {
        if begin == Begin::Log {
            topics.check_complete(&subject.trigger.engine)?;
        }
        let positions = run.find_positions(topics, None).await?;
        let mut live = subject.live()?;
        let mut last_pass = Positions::default();
        if begin == Begin::Present {
            last_pass = copy(&mut live, run.store(), &positions).await?;
            topics.check_begun(&last_pass, &subject.trigger.engine)?;
        }
        let ignored =
            Ignored { prefixes: subject.ignored.clone(), positions: Some(positions.clone()) };
        Ok(Self {
            run,
            positions,
            live,
            walk: Walk::new(ignored.clone()),
            ignored,
            pass_began: None,
            last_pass,
            known: BTreeMap::new(),
            differing: BTreeSet::new(),
        })
    }

    /// The positions of the application.
    pub async fn live_positions(&mut self) -> Result<Positions> {
        let read = self.live.read(&self.positions, &Window::default()).await;
        if read.is_err() {
            self.live.disconnect();
        }
        Ok(read?.0)
    }

    /// Fails if the private store does not answer.
    pub async fn check_private_store(&mut self) -> Result<()> {
        let ping = redis::cmd("PING").query_async::<()>(self.run.store()).await;
        ping.context("the private store has ended")
    }

    /// The differences that exist.
    pub fn known(&self) -> impl Iterator<Item = &Known> {
        self.known.values()
    }

    /// Compares the next window. After an error it can be called again.
    pub async fn step(&mut self) -> Result<Step> {
        let step = self.compare().await;
        if step.is_err() {
            self.live.disconnect();
            // The window that was not compared would be left out.
            self.restart_pass();
        }
        step
    }

    async fn compare(&mut self) -> Result<Step> {
        let counted = self.counted().await?;
        let window = self.walk.next(self.run.store(), self.live.connection().await?).await?;
        let (positions, values) = self.live.read(&self.positions, &window).await?;
        let behind = positions.gaps_to(&counted);
        if !behind.is_empty() {
            self.restart_pass();
            return Ok(Step::Behind(behind));
        }
        if counted.is_behind(&positions) {
            self.run.count_up_to(&positions, None).await?;
        }
        let expected = window.read(self.run.store()).await?;
        let live = self.live.connection().await?;
        let found = differences(&window, (&expected, self.run.store()), (&values, live)).await?;
        let found = self.note(found, &positions);
        let is_pass_end = self.walk.has_ended();
        let began = self.pass_began.get_or_insert_with(|| positions.clone()).clone();
        let settled = if is_pass_end { self.end_pass(began) } else { Vec::new() };
        Ok(Step::Compared(Compared {
            positions,
            values: window.elements(),
            found,
            settled,
            is_pass_end,
        }))
    }

    /// The positions of the private store.
    async fn counted(&mut self) -> Result<Positions> {
        let mut pipeline = redis::pipe();
        self.positions.add_to(&mut pipeline);
        let replies: Vec<redis::Value> = pipeline.query_async(self.run.store()).await?;
        self.positions.positions(&replies)
    }

    /// Keeps the differences. Returns those that were not known.
    fn note(&mut self, found: Vec<Difference>, positions: &Positions) -> Vec<Known> {
        let mut new = Vec::new();
        for difference in found {
            let place = difference.place.clone();
            if !self.known.contains_key(&place) {
                if self.known.len() >= KEPT_MAX {
                    continue;
                }
                let (equal_at, differs_at) = (self.last_pass.clone(), positions.clone());
                let known = Known { difference, equal_at, differs_at };
                new.push(known.clone());
                self.known.insert(place.clone(), known);
            }
            self.differing.insert(place);
        }
        new
    }

    /// Begins the next pass. Returns the places that no longer differ.
    fn end_pass(&mut self, began: Positions) -> Vec<String> {
        self.last_pass = began;
        let differing = std::mem::take(&mut self.differing);
        let is_settled = |place: &String| !differing.contains(place);
        let settled = self.known.keys().filter(|place| is_settled(place)).cloned().collect();
        self.known.retain(|place, _| differing.contains(place));
        self.restart_pass();
        settled
    }

    fn restart_pass(&mut self) {
        self.walk = Walk::new(self.ignored.clone());
        self.pass_began = None;
        self.differing.clear();
    }
}
