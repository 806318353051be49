//! Applies a batch: in one call if the handler succeeds, else in parts.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures::future::try_join_all;

use crate::Batch;
use crate::attempt::{Behind, Outcome};
use crate::backoff::Backoff;
use crate::partition::{Halt, Partition};

/// A batch, or a part of one, that is still to be handed to the handler.
pub(crate) struct Part {
    pub batch: Batch,
    /// Number of breakdowns of the handler over this part, or over a larger part that contained it.
    pub failures: u32,
    pub backoff: Backoff,
}

/// What is the same for all parts of a batch.
#[derive(Clone, Copy)]
struct Terms {
    /// Whether the handler keeps its position. Such a handler must also get the offsets without
    /// records.
    keeps_position: bool,
    /// Whether the parts are handed over in the order of their offsets, one at a time. Each part
    /// then moves the position.
    in_order: bool,
}

impl Partition {
    /// Applies the batch and moves the position to its end. Returns how far the handler's store is
    /// behind; `None` if it is not.
    pub async fn apply(&self, batch: Batch, keeps_position: bool) -> Result<Option<Behind>, Halt> {
        let lanes = self.engine.config.key_concurrency;
        if lanes == 1 {
            return self.work_off(batch, Terms { keeps_position, in_order: true }).await;
        }
        if keeps_position {
            let reason = "a handler that keeps its position needs `key_concurrency = 1`";
            return Err(self.fault(batch.start, reason));
        }
        let end = batch.end;
        let terms = Terms { keeps_position, in_order: false };
        let lanes = by_key(batch, lanes).into_iter().map(|lane| self.work_off(lane, terms));
        let behind = try_join_all(lanes).await?.into_iter().flatten().min();
        if behind.is_none() {
            self.moved(end);
        }
        Ok(behind)
    }

    /// Hands the batch to the handler. A part over which the handler breaks down is halved until it
    /// holds a single record; that record is given up.
    async fn work_off(&self, batch: Batch, terms: Terms) -> Result<Option<Behind>, Halt> {
        let mut parts = vec![Part { batch, failures: 0, backoff: self.backoff() }];
        while let Some(part) = parts.pop() {
            if self.stop.is_cancelled() {
                return Err(Halt::Stopped);
            }
            let end = part.batch.end;
            match self.attempt(part).await? {
                Outcome::Applied => {}
                Outcome::Behind(behind) => return Ok(Some(behind)),
                Outcome::Broken(mut part, blame) => {
                    part.failures = part.failures.saturating_add(1);
                    let records = part.batch.messages.len();
                    let poison = part.failures >= self.engine.config.poison_attempts;
                    if records > 1 {
                        parts.extend(self.halves(part));
                        continue;
                    } else if records == 0 && part.failures > self.engine.config.poison_in_a_row_max
                    {
                        let reason = format!(
                            "the handler broke {} times over offsets without a record: {}",
                            part.failures, blame.reason
                        );
                        return Err(self.fault(part.batch.start, reason));
                    } else if records == 0 || !poison {
                        self.pause(part.backoff.next()).await?;
                        parts.push(part);
                        continue;
                    }
                    self.condemn(&part.batch, part.failures, &blame).await?;
                    if terms.keeps_position {
                        parts.push(self.emptied(part));
                        continue;
                    }
                }
            }
            if terms.in_order {
                self.moved(end);
            }
        }
        Ok(None)
    }

    /// The two halves in reverse order: the caller takes the next part from the end of its stack.
    fn halves(&self, part: Part) -> [Part; 2] {
        let Part { mut batch, failures, .. } = part;
        let messages = batch.messages.split_off(batch.messages.len() / 2);
        let middle = batch.messages.last().map_or(batch.start, |last| last.offset + 1);
        let second = Batch { start: middle, messages, ..batch.clone_empty() };
        batch.end = middle;
        [second, batch].map(|batch| Part { batch, failures, backoff: self.backoff() })
    }

    /// The offsets of the part without its record. The handler's position still has to move past
    /// them.
    fn emptied(&self, part: Part) -> Part {
        Part { batch: part.batch.clone_empty(), failures: 0, backoff: self.backoff() }
    }
}

/// Splits a batch by key into at most `lanes` parts. Records with the same key stay in one part, in
/// order. Each part covers all offsets of the batch and has gaps.
fn by_key(mut batch: Batch, lanes: usize) -> Vec<Batch> {
    let mut split: HashMap<u64, Batch> = HashMap::new();
    for message in std::mem::take(&mut batch.messages) {
        let mut hasher = DefaultHasher::new();
        message.key.hash(&mut hasher);
        let lane = hasher.finish() % lanes as u64;
        split.entry(lane).or_insert_with(|| batch.clone_empty()).messages.push(message);
    }
    split.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_keep_each_record_once_and_the_order_of_each_key(
            keys in prop::collection::vec(0_u8..20, 0..200), lanes in 2_usize..8,
        ) {
            let message = |(offset, key): (i64, &u8)| Message {
                offset,
                timestamp_ms: None,
                key: Some(vec![*key]),
                value: None,
                headers: Vec::new(),
            };
            let messages: Vec<_> = (0_i64..).zip(&keys).map(message).collect();
            let batch = Batch {
                topic: "t".into(),
                log_id: "l".into(),
                partition: 0,
                first: true,
                start: 0,
                end: keys.len() as i64,
                messages,
            };
            let split = by_key(batch.clone(), lanes);
            prop_assert!(split.len() <= lanes);
            let mut home = HashMap::new();
            let mut offsets = Vec::new();
            for (lane, part) in split.iter().enumerate() {
                prop_assert!(part.messages.windows(2).all(|pair| pair[0].offset < pair[1].offset));
                prop_assert_eq!((part.start, part.end), (batch.start, batch.end));
                for message in &part.messages {
                    prop_assert_eq!(*home.entry(message.key.clone()).or_insert(lane), lane);
                    offsets.push(message.offset);
                }
            }
            offsets.sort_unstable();
            prop_assert_eq!(offsets, (0..keys.len() as i64).collect::<Vec<_>>());
        }
    }
}
