//! The limits of a client, which all providers of `doorbuster:valkey/client` share.

use std::time::Duration;

/// Maximum number of commands in one call.
pub const COMMANDS_MAX: u32 = 10_000;

/// Maximum size of the replies to a call. Larger replies break the connection.
pub const REPLIES_BYTES_MAX: usize = 16 << 20;

/// Maximum time for connecting and the first commands.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Maximum time of a round trip.
pub const ROUND_LIMIT: Duration = Duration::from_secs(30);

/// A connection that was idle for longer is replaced at the next call, because the server or a
/// firewall may have dropped it without notice.
pub const IDLE_MAX: Duration = Duration::from_secs(5);
