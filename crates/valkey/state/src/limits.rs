//! The limits of a transaction.

/// Maximum number of operations in one batch: changed keys, fields of hashes, members of sorted sets
/// and words in entries of streams. Valkey executes nothing else while the script runs, which takes
/// about a microsecond for each of them.
pub const OPERATIONS_MAX: usize = 100_000;

/// Maximum number of fields and values in one entry of a stream. The script passes them to one
/// command, and Lua's `unpack` accepts less than 8,000 values.
pub const ENTRY_WORDS_MAX: usize = 1_000;

/// Maximum number of bytes in the changes of one batch, and in the values that it has read.
pub const BYTES_MAX: usize = 8 << 20;

/// Maximum number of values that a function may read for one batch.
pub const READS_MAX: usize = 10_000;

/// Maximum number of calls of the script for one batch. Without another owner of the partition and
/// without reads, three are sufficient: the first one, one with the source if Valkey does not have
/// the script, and one after the script has reported a position inside the batch or repeated
/// records. Another consumer may change any of these, and values that were read, in between.
pub const CALLS_MAX: u32 = 8;
