//! The result of a request whose records were written with one call.

use crate::IntakeError;

/// Combines the results of the records of a request. Only if nothing was written, the error is one
/// that says so; see [`IntakeError::is_surely_unwritten`].
pub fn all_acknowledged(
    results: impl IntoIterator<Item = Result<(), IntakeError>>,
) -> Result<(), IntakeError> {
    let (mut written, mut first) = (false, None);
    for result in results {
        match result {
            Ok(()) => written = true,
            Err(error) if !error.is_surely_unwritten() => return Err(error),
            Err(error) => first = first.or(Some(error)),
        }
    }
    match first {
        None => Ok(()),
        Some(error) if written => {
            let text = format!("some records were written, others not: {error}");
            Err(IntakeError::Other(text))
        }
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use sale::Violation;

    use super::*;

    #[test]
    fn an_error_says_that_nothing_was_written_only_if_that_is_true() {
        let full = || Err(IntakeError::Overloaded("full".into()));
        let long = || Err(IntakeError::Invalid(Violation::new("body", "is too long")));
        let late = || Err(IntakeError::TimedOut("late".into()));
        let mixed = |text| {
            Err(IntakeError::Other(format!("some records were written, others not: {text}")))
        };
        for (results, expected) in [
            (vec![Ok(()), Ok(())], Ok(())),
            (vec![full(), full()], full()),
            (vec![long(), full()], long()),
            (vec![full(), late()], late()),
            (vec![Ok(()), late(), full()], late()),
            (vec![Ok(()), full()], mixed("full")),
            (vec![full(), Ok(())], mixed("full")),
            (vec![Ok(()), long()], mixed("body: is too long")),
        ] {
            assert_eq!(all_acknowledged(results), expected);
        }
    }
}
