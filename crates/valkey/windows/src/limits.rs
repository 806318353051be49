//! The limits of windows.

/// Maximum length of the settings.
pub const SETTINGS_BYTES_MAX: usize = 64 << 10;

/// Maximum number of aggregates in the settings.
pub(crate) const AGGREGATES_MAX: usize = 32;

/// Maximum number of windows that one record belongs to.
pub const OVERLAP_MAX: u64 = 100;

/// Maximum number of sessions that are kept for one group.
pub const SESSIONS_MAX: u32 = 1_000;

/// Maximum number of values that one record changes, in all of its windows. A record with more is
/// rejected. The limit of a batch is ten times as large.
pub const ADDITIONS_MAX: usize = 10_000;

/// Maximum length of a group, of a member of a ranking, and of a value whose number of distinct
/// values is estimated.
pub const GROUP_BYTES_MAX: usize = 1_024;

/// Maximum of an integer that one record adds. Millions of such records fit into a sum, so that one
/// record cannot cause an overflow, which would stop the program.
pub const INTEGER_MAX: i64 = 1_000_000_000_000;

/// A decimal that one record adds is below this limit, for the same reason as [`INTEGER_MAX`].
pub const AMOUNT_LIMIT: i64 = 1_000_000_000_000_000_000;

/// Maximum of a duration in the settings: ten years of 366 days.
pub(crate) const DURATION_MAX_S: u64 = 10 * 366 * 86_400;

/// Event times are before the year 10000.
pub(crate) const TIME_LIMIT_MS: i64 = 253_402_300_800_000;
