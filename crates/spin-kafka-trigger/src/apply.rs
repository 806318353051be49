//! Applies a batch: whole if the handler bears it, else in parts.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures::future::try_join_all;

use crate::Batch;
use crate::attempt::{Behind, Outcome};
use crate::backoff::Backoff;
use crate::partition::{Halt, Partition};

/// A batch, or what is left of one, on its way to the handler.
pub(crate) struct Part {
    pub batch: Batch,
    /// How often the handler broke down over it, and over what it was a part of.
    pub failures: u32,
    pub backoff: Backoff,
}

/// What reaches beyond the batch itself.
#[derive(Clone, Copy)]
struct Terms {
    /// The handler keeps its position: it must hear of every offset.
    keeps_position: bool,
    /// The parts come in the order of their offsets: each moves the position.
    in_order: bool,
}

impl Partition {
    /// Applies the batch and moves the position to its end. Answers how far the handler's
    /// store is behind, if it is.
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

    /// Hands over the batch. What breaks the handler is halved until a single record is to
    /// blame, which is given up.
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

    /// The second half, then the first: the last is worked off first.
    fn halves(&self, part: Part) -> [Part; 2] {
        let Part { mut batch, failures, .. } = part;
        let messages = batch.messages.split_off(batch.messages.len() / 2);
        let middle = batch.messages.last().map_or(batch.start, |last| last.offset + 1);
        let second = Batch { start: middle, messages, ..batch.clone_empty() };
        batch.end = middle;
        [second, batch].map(|batch| Part { batch, failures, backoff: self.backoff() })
    }

    /// The offsets without the record: the handler's position moves on over it.
    fn emptied(&self, part: Part) -> Part {
        Part { batch: part.batch.clone_empty(), failures: 0, backoff: self.backoff() }
    }
}

/// Splits a batch so that records with the same key stay together, in order. Each part stands
/// for the whole batch's offsets, with gaps.
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
