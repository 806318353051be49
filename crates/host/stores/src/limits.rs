//! The limits of the stores. The error of a call that reaches one of them names it.

use std::time::Duration;

/// The connections to one database at once. PostgreSQL permits 100 by default, for all its clients.
pub const CONNECTIONS_MAX: usize = 32;

/// The different databases at once.
pub const DATABASES_MAX: usize = 16;

/// Those that one component has used first.
pub const DATABASES_SHARE: usize = DATABASES_MAX / 2;

/// How long a call waits for a free connection.
pub const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// How long it takes to connect.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a statement may take. For a result that is read as a stream, how long until the first row
/// and between two rows. It is shorter than the time limit of a request, so that the component gets
/// the error.
pub const STATEMENT_LIMIT: Duration = Duration::from_secs(25);

/// How long a connection that a component has closed may take to become free for the next one. A
/// slower one is closed, and the statement that it executes is cancelled.
pub const RESET_LIMIT: Duration = Duration::from_secs(1);

/// A connection that no component has opened for this time is closed.
pub const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// The bytes of a result that is returned as a whole, and those of a row. A row is measured after it
/// was received.
pub const RESULT_BYTES_MAX: usize = 32 << 20;

/// The connections to servers of Redis at once, one for each component and address, and those of
/// key-value stores.
pub const REDIS_CLIENTS_MAX: usize = 64;

/// The bytes of a key of a key-value store.
pub const KEY_BYTES_MAX: usize = 1 << 10;

/// The bytes of a value of a key-value store. The replies to a call have at most 16 MiB.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// The bytes of the values that one call of a key-value store returns. With their lengths, they fit
/// into the replies to a call.
pub const VALUES_BYTES_MAX: usize = 15 << 20;

/// The keys of one call of a key-value store.
pub const KEYS_AT_ONCE_MAX: usize = 1_000;

/// The bytes of an address and of the certificate for it.
pub const ADDRESS_BYTES_MAX: usize = 64 << 10;

/// The prepared statements of a connection. When there are more, all of them are closed.
pub const PREPARED_MAX: usize = 200;

/// The length of a statement that stays prepared.
pub const PREPARED_BYTES_MAX: usize = 8 << 10;
