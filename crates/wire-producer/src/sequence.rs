//! How a broker tells a record that comes again from a new one: producer id, epoch, sequence.

/// An id that a broker gave this producer, with its first epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerId {
    pub id: i64,
    pub epoch: i16,
}

/// The place of the next batch among those that this producer writes to one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    pub producer: ProducerId,
    pub next: i32,
}

impl Sequence {
    /// The first of a producer.
    pub fn first(producer: ProducerId) -> Self {
        Self { producer, next: 0 }
    }

    /// Moves on after a batch that was written. After the largest number comes 0.
    pub fn advance(&mut self, records: i32) {
        self.next = self.next.wrapping_add(records) & i32::MAX;
    }

    /// What follows a batch given up without knowing its fate: a higher epoch, in which
    /// numbers begin anew, and which the broker lets no batch of a lower one follow. None if
    /// there is none higher, and the producer needs another id.
    pub fn fence(self) -> Option<Self> {
        let ProducerId { id, epoch } = self.producer;
        let epoch = epoch.checked_add(1)?;
        Some(Self::first(ProducerId { id, epoch }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: ProducerId = ProducerId { id: 7, epoch: 0 };

    #[test]
    fn sequences_wrap_as_javas_do() {
        let mut sequence = Sequence { producer: PRODUCER, next: i32::MAX - 1 };
        sequence.advance(1);
        assert_eq!(sequence.next, i32::MAX);
        sequence.advance(1);
        assert_eq!(sequence.next, 0);
        sequence.next = i32::MAX;
        sequence.advance(5);
        assert_eq!(sequence.next, 4);
    }

    #[test]
    fn a_fence_begins_a_higher_epoch() {
        let sequence = Sequence { producer: PRODUCER, next: 41 };
        let fenced = sequence.fence().unwrap();
        assert_eq!(fenced, Sequence::first(ProducerId { id: 7, epoch: 1 }));
        let last = Sequence::first(ProducerId { id: 7, epoch: i16::MAX });
        assert_eq!(last.fence(), None);
    }
}
