//! Why records are given up.

use std::fmt;

/// Why a record was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureClass {
    /// The handler rejected the record.
    Rejected,
    /// The handler requested retries until the attempts were used up.
    Retries,
    /// The handler trapped on the record.
    Trap,
    /// The handler did not answer before its deadline.
    Deadline,
    /// The handler exceeded its memory limit.
    Memory,
    /// The records that the handler returned for the record exceed a limit, or a broker refused
    /// one of them.
    Output,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            FailureClass::Rejected => "rejected",
            FailureClass::Retries => "retries",
            FailureClass::Trap => "trap",
            FailureClass::Deadline => "deadline",
            FailureClass::Memory => "memory",
            FailureClass::Output => "output",
        })
    }
}
