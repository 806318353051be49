//! What the broker's answers mean for the records of a group.

use amqp_client::{Answer, Returned, reply_code};
use kafka_record::{Delivery, ProduceError};
use lapin::Confirmation;

/// The reply codes of AMQP with which the broker closes a channel because of a message.
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// The result of one record.
pub(crate) type Written = Result<Delivery, ProduceError>;

/// The results of records that were published one after the other, with the same routing key, on a
/// channel without other messages. `place` names the topic and the broker, for the errors.
pub(crate) fn results(place: &str, answers: &[Answer]) -> Vec<Written> {
    let returned = Returned::of(answers);
    let any_confirmed = answers.iter().any(|answer| matches!(answer, Some(Ok(_))));
    let result = |answer: &Answer| match answer {
        Some(Ok(_)) if returned == Returned::All => {
            Err(ProduceError::Refused(format!("{place}: no queue is bound for it")))
        }
        Some(Ok(_)) if returned == Returned::Some => Err(ProduceError::TimedOut(format!(
            "{place}: some records of the call were returned because no queue was bound for them; it \
             is not known which"
        ))),
        Some(Ok(Confirmation::Ack(_))) => Ok(Delivery { partition: 0, offset: None }),
        Some(Ok(Confirmation::Nack(_) | Confirmation::NotRequested)) => {
            Err(ProduceError::Unavailable(format!(
                "{place}: the broker did not accept it; check the length limit of the queue, its \
                 replicas and the disk"
            )))
        }
        Some(Err(error)) => Err(closed(place, error, answers.len() == 1, any_confirmed)),
        None => Err(ProduceError::TimedOut(format!("{place}: no confirm in time"))),
    };
    answers.iter().map(result).collect()
}

/// The error of a record whose channel or connection was closed before its confirm. The broker closes
/// a channel because of one of its records.
fn closed(place: &str, error: &lapin::Error, is_alone: bool, any_confirmed: bool) -> ProduceError {
    let text = format!("{place}: {error}");
    match reply_code(error) {
        Some(ACCESS_REFUSED | NOT_FOUND) if !any_confirmed => ProduceError::Refused(text),
        Some(PRECONDITION_FAILED) if is_alone => ProduceError::TooLarge(text),
        _ => ProduceError::TimedOut(format!(
            "{text}; the channel was closed before the confirm, so the record may be written"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use lapin::message::BasicReturnMessage;
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};

    use super::*;

    fn ack() -> Answer {
        Some(Ok(Confirmation::Ack(None)))
    }

    fn returned() -> Answer {
        let delivery = lapin::message::Delivery::mock(0, "".into(), "posts".into(), false, vec![]);
        let message =
            BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() };
        Some(Ok(Confirmation::Ack(Some(message))))
    }

    fn channel_closed(error: AMQPSoftError) -> Answer {
        let error = AMQPError::new(AMQPErrorKind::Soft(error), "reason".into());
        Some(Err(lapin::ErrorKind::ProtocolError(error).into()))
    }

    fn classes(answers: &[Answer]) -> String {
        let class = |result: Written| match result {
            Ok(_) => 'w',
            Err(ProduceError::Refused(_)) => 'r',
            Err(ProduceError::TimedOut(_)) => 't',
            Err(ProduceError::TooLarge(_)) => 'l',
            Err(ProduceError::Unavailable(_)) => 'u',
            Err(other) => panic!("{other}"),
        };
        results("posts", answers).into_iter().map(class).collect()
    }

    #[test]
    fn a_record_is_written_only_if_no_returned_message_can_be_its_own() {
        assert_eq!(classes(&[ack(), ack()]), "ww");
        assert_eq!(classes(&[returned()]), "r");
        assert_eq!(classes(&[returned(), returned()]), "rr");
        assert_eq!(classes(&[ack(), returned(), ack()]), "ttt");
        assert_eq!(classes(&[returned(), None]), "tt");
        assert_eq!(classes(&[ack(), Some(Ok(Confirmation::Nack(None)))]), "wu");
    }

    #[test]
    fn a_lost_confirm_is_unknown_and_a_refused_record_is_not() {
        let lost = || Some(Err(Error::from(ErrorKind::ConnectionReset).into()));
        assert_eq!(classes(&[ack(), lost(), None]), "wtt");
        let closed = || channel_closed(AMQPSoftError::NOTFOUND);
        assert_eq!(classes(&[closed(), closed()]), "rr");
        assert_eq!(classes(&[ack(), closed()]), "wt");
        let large = || channel_closed(AMQPSoftError::PRECONDITIONFAILED);
        assert_eq!((classes(&[large()]), classes(&[large(), large()])), ("l".into(), "tt".into()));
    }
}
