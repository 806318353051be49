//! Applies a broker's response to a partition's batch.

use kafka_protocol::messages::produce_response::PartitionProduceResponse;

use crate::fault::Fault;
use crate::outcome::{Outcome, error_text};
use crate::partition::{Attempt, Partition};
use crate::{Config, ProduceError};

impl<W> Partition<W> {
    /// Evaluates the response to an attempt to send the batch. Returns whether the producer id can
    /// still be used.
    pub fn apply_result(
        &mut self,
        attempt: Attempt,
        response: &PartitionProduceResponse,
        config: &Config,
    ) -> bool {
        let Some(batch) = &mut self.batch else { return true };
        let Some(doubted) = batch.is_doubted(attempt) else { return true };
        let count = batch.records.len();
        let outcome = Outcome::from_code(response.error_code);
        match outcome {
            Outcome::Written => {
                self.written(response.base_offset);
                return true;
            }
            Outcome::Retry => {
                self.fault = Some(Fault::from_code(response.error_code));
                self.set_leader(None);
                return true;
            }
            // The batch may still have been written: if its sequence number were used again, the
            // broker could take the next batch for this one.
            Outcome::Other => {}
            _ => batch.in_doubt = doubted,
        }
        let text = describe(self, config, &reason(response));
        let Some(batch) = &self.batch else { return true };
        match outcome {
            _ if doubted => {
                batch.fail(|| ProduceError::Unavailable(text.clone()));
                self.drop_batch()
            }
            // Nothing of the batch was written, so its records can be sent as new ones.
            Outcome::OutOfSequence => {
                self.requeue_batch(count);
                self.set_leader(None);
                self.fence()
            }
            // Smaller batches show which record causes the error.
            Outcome::TooLarge | Outcome::BadRecord if count > 1 => {
                self.requeue_batch(count / 2);
                true
            }
            _ => {
                batch.fail(|| match outcome {
                    Outcome::TooLarge => ProduceError::TooLarge(text.clone()),
                    Outcome::Refused | Outcome::BadRecord => ProduceError::Refused(text.clone()),
                    _ => ProduceError::Other(text.clone()),
                });
                self.drop_batch()
            }
        }
    }
}

fn reason(response: &PartitionProduceResponse) -> String {
    let text = error_text(response.error_code);
    match &response.error_message {
        Some(message) => format!("{text}: {message}"),
        None => text,
    }
}

/// A text about a partition.
pub fn describe<W>(partition: &Partition<W>, config: &Config, reason: &str) -> String {
    let Partition { topic, number, .. } = partition;
    format!("topic `{topic}`, partition {number}, at {}: {reason}", config.brokers)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::partition::Queued;
    use crate::sequence::ProducerId;
    use crate::ticket::{Shared, Ticket};
    use crate::{Delivery, OutgoingRecord};

    const PRODUCER: ProducerId = ProducerId { id: 7, epoch: 0 };
    const NOT_ENOUGH_REPLICAS: i16 = 19;
    const OUT_OF_ORDER: i16 = 45;
    const TOO_LARGE: i16 = 10;
    const UNAUTHORIZED: i16 = 29;

    /// A partition with a leader, and `records` tickets with one record each.
    fn partition(records: usize) -> (Partition<()>, Vec<Shared<()>>) {
        let mut partition = Partition::new("t".into(), 0);
        partition.set_leader(Some(1));
        let tickets: Vec<_> =
            (0..).take(records).map(|id| Ticket::new(id, 0, Duration::ZERO, 1)).collect();
        for ticket in &tickets {
            let record = OutgoingRecord::default();
            let ticket = ticket.clone();
            partition.queue.push_back(Queued { record, timestamp_ms: 0, ticket, index: 0 });
        }
        (partition, tickets)
    }

    /// The result of the ticket's only record.
    fn result(ticket: &Ticket<()>) -> Option<Result<Delivery, ProduceError>> {
        ticket.results()?.pop()
    }

    fn config() -> Config {
        Config::new("kafka:9092")
    }

    /// Number of records, epoch and sequence number of the batch that would be sent next.
    fn next(partition: &mut Partition<()>) -> (i32, i16, i32) {
        let batch = partition.batch_to_send(PRODUCER, &config()).unwrap();
        let number = |at: usize| i32::from_be_bytes(batch.bytes[at..at + 4].try_into().unwrap());
        let epoch = i16::from_be_bytes(batch.bytes[51..53].try_into().unwrap());
        (number(57), epoch, number(53))
    }

    fn attempt(partition: &mut Partition<()>) -> Attempt {
        partition.batch_to_send(PRODUCER, &config()).unwrap().attempt()
    }

    fn answered(partition: &mut Partition<()>, attempt: Attempt, code: i16) {
        let response =
            PartitionProduceResponse::default().with_error_code(code).with_base_offset(9);
        assert!(partition.apply_result(attempt, &response, &config()));
    }

    /// An attempt and its response; if `doubted`, after an attempt without a response.
    fn attempted(partition: &mut Partition<()>, code: i16, doubted: bool) {
        if doubted {
            attempt(partition);
        }
        let attempt = attempt(partition);
        answered(partition, attempt, code);
    }

    #[test]
    fn a_batch_that_was_written_advances_the_sequence() {
        let (mut partition, tickets) = partition(3);
        assert_eq!(next(&mut partition), (3, 0, 0));
        attempted(&mut partition, 0, false);
        let offsets: Vec<_> =
            tickets.iter().map(|ticket| result(ticket).unwrap().unwrap().offset).collect();
        assert_eq!(offsets, [Some(9), Some(10), Some(11)]);
        let (more, _) = self::partition(1);
        partition.queue = more.queue;
        assert_eq!(next(&mut partition), (1, 0, 3));
    }

    #[test]
    fn a_batch_that_is_sent_again_is_the_same() {
        let (mut partition, tickets) = partition(2);
        let before = partition.batch_to_send(PRODUCER, &config()).unwrap().bytes.clone();
        attempted(&mut partition, NOT_ENOUGH_REPLICAS, false);
        assert_eq!(partition.leader, None, "the leader must be requested");
        assert!(tickets.iter().all(|ticket| result(ticket).is_none()));
        let (more, _) = self::partition(1);
        partition.queue = more.queue;
        assert_eq!(partition.batch_to_send(PRODUCER, &config()).unwrap().bytes, before);
    }

    #[test]
    fn a_response_applies_to_its_own_batch_only() {
        let (mut partition, tickets) = partition(1);
        // The leader changes while the first attempt is in flight.
        let (old, new) = (attempt(&mut partition), attempt(&mut partition));
        answered(&mut partition, new, 0);
        assert!(result(&tickets[0]).is_some());
        let (more, waiting) = self::partition(1);
        partition.queue = more.queue;
        attempt(&mut partition);
        answered(&mut partition, old, 0);
        assert!(result(&waiting[0]).is_none());
    }

    #[test]
    fn a_later_attempt_leaves_doubt() {
        let (mut partition, tickets) = partition(1);
        let (old, _new) = (attempt(&mut partition), attempt(&mut partition));
        answered(&mut partition, old, UNAUTHORIZED);
        let failed = result(&tickets[0]);
        assert!(matches!(failed, Some(Err(ProduceError::Unavailable(_)))), "{failed:?}");
    }

    #[test]
    fn a_lost_sequence_begins_a_new_epoch() {
        let (mut partition, tickets) = partition(2);
        assert_eq!(next(&mut partition), (2, 0, 0));
        attempted(&mut partition, OUT_OF_ORDER, false);
        assert!(tickets.iter().all(|ticket| result(ticket).is_none()));
        assert_eq!(next(&mut partition), (2, 1, 0));
        // An earlier attempt may have been written, which cannot be determined.
        attempted(&mut partition, OUT_OF_ORDER, true);
        for ticket in &tickets {
            assert!(matches!(result(ticket), Some(Err(ProduceError::Unavailable(_)))));
        }
        assert!(partition.is_idle());
    }

    #[test]
    fn after_an_unknown_error_no_sequence_number_is_used_again() {
        const UNKNOWN_SERVER_ERROR: i16 = -1;
        let (mut partition, tickets) = partition(1);
        assert_eq!(next(&mut partition), (1, 0, 0));
        attempted(&mut partition, UNKNOWN_SERVER_ERROR, false);
        assert!(matches!(result(&tickets[0]), Some(Err(ProduceError::Other(_)))));
        let (more, _) = self::partition(1);
        partition.queue = more.queue;
        assert_eq!(next(&mut partition), (1, 1, 0));
    }

    #[test]
    fn a_batch_that_is_too_large_is_split_until_a_single_record_fails() {
        let (mut partition, tickets) = partition(5);
        assert_eq!(next(&mut partition), (5, 0, 0));
        attempted(&mut partition, TOO_LARGE, false);
        assert_eq!(next(&mut partition), (2, 0, 0));
        attempted(&mut partition, TOO_LARGE, false);
        assert_eq!(next(&mut partition), (1, 0, 0));
        attempted(&mut partition, TOO_LARGE, false);
        assert!(matches!(result(&tickets[0]), Some(Err(ProduceError::TooLarge(_)))));
        assert_eq!(next(&mut partition), (1, 0, 0), "no number is skipped");
        attempted(&mut partition, 0, false);
        assert_eq!(next(&mut partition), (2, 0, 1), "batches grow again");
    }

    #[test]
    fn a_refusal_after_an_unanswered_attempt_is_no_refusal() {
        for (doubted, epoch) in [(false, 0), (true, 1)] {
            let (mut partition, tickets) = partition(1);
            attempted(&mut partition, UNAUTHORIZED, doubted);
            match result(&tickets[0]) {
                Some(Err(ProduceError::Refused(_))) => assert!(!doubted),
                Some(Err(ProduceError::Unavailable(_))) => assert!(doubted),
                other => panic!("{other:?}"),
            }
            let (more, _) = self::partition(1);
            partition.queue = more.queue;
            assert_eq!(next(&mut partition), (1, epoch, 0));
        }
    }
}
