//! Requests that are sent again although they were accepted.

use bytes::Bytes;

/// Number of accepted requests that a worker keeps to choose from, so that repetitions are sent
/// late and out of order.
const KEPT: usize = 64;

/// A sale as it is sent.
#[derive(Clone)]
pub(crate) struct Request {
    pub key: String,
    /// Whether the request has an `Idempotency-Key` header.
    pub keyed: bool,
    pub body: Bytes,
}

/// Chooses the requests that are repeated.
pub(crate) struct Repeats {
    percent: u8,
    kept: Vec<Request>,
}

impl Repeats {
    pub fn new(percent: u8) -> Self {
        Self { percent, kept: Vec::new() }
    }

    /// Stores an accepted request. Returns an earlier one if one is to be repeated now.
    pub fn next(&mut self, accepted: Request) -> Option<Request> {
        if self.percent == 0 {
            return None;
        }
        if self.kept.len() < KEPT {
            self.kept.push(accepted);
        } else {
            let place = rand::random_range(0..KEPT);
            *self.kept.get_mut(place)? = accepted;
        }
        let chosen = rand::random_range(0..self.kept.len());
        (rand::random_range(0..100) < self.percent).then(|| self.kept.get(chosen).cloned())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: usize) -> Request {
        Request { key: number.to_string(), keyed: true, body: Bytes::new() }
    }

    #[test]
    fn repeats_as_many_as_asked_for_and_keeps_few() {
        let mut all = Repeats::new(100);
        for number in 0..1_000 {
            let repeated = all.next(request(number)).unwrap();
            assert!(repeated.key.parse::<usize>().unwrap() <= number);
            assert!(all.kept.len() <= KEPT);
        }
        assert!((0..1_000).all(|number| Repeats::new(0).next(request(number)).is_none()));
        let mut some = Repeats::new(10);
        let repeated = (0..10_000).filter(|number| some.next(request(*number)).is_some()).count();
        assert!((500..2_000).contains(&repeated), "{repeated}");
    }
}
