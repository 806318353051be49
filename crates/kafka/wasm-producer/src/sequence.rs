//! How a broker recognises batches that were sent before: producer id, epoch, sequence number.

/// The id that a broker has assigned to this producer, with its first epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerId {
    pub id: i64,
    pub epoch: i16,
}

/// The sequence number of the next batch of this producer for one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    pub producer: ProducerId,
    pub next: i32,
}

impl Sequence {
    /// The first sequence number of a producer id.
    pub fn first(producer: ProducerId) -> Self {
        Self { producer, next: 0 }
    }

    /// Advances by the number of records of a written batch. The largest number is followed by 0.
    pub fn advance(&mut self, records: i32) {
        self.next = self.next.wrapping_add(records) & i32::MAX;
    }

    /// The sequence after a batch that was given up and may have been written: a higher epoch, in
    /// which the numbers start again. The broker refuses batches of lower epochs after it. None if
    /// there is no higher epoch, so the producer needs another id.
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
    fn sequence_numbers_wrap_like_those_of_the_java_client() {
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
    fn a_fence_starts_a_higher_epoch() {
        let sequence = Sequence { producer: PRODUCER, next: 41 };
        let fenced = sequence.fence().unwrap();
        assert_eq!(fenced, Sequence::first(ProducerId { id: 7, epoch: 1 }));
        let last = Sequence::first(ProducerId { id: 7, epoch: i16::MAX });
        assert_eq!(last.fence(), None);
    }
}
