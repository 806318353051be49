//! The limits of the trigger. They are not settings, because Spin has none: a manifest with them would
//! not run there.

use std::time::Duration;

/// The bytes of a message. A longer one is dropped and counted; its content is not stored.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The messages of a server that wait for the one that is being handled. A further one is dropped and
/// counted.
pub const MESSAGES_MAX: usize = 10_000;

/// The bytes of the messages of a server that wait or are being handled. A message with which they would
/// be more is dropped and counted.
pub const MESSAGES_BYTES_MAX: usize = 64 << 20;

/// How long a message may wait for an instance of a component, and how long the component may then take
/// for it. After that the message is given up and the instance is dropped.
pub const HANDLER_LIMIT: Duration = Duration::from_secs(30);

/// The pause before another attempt to create an instance, if the process has as many as it may have.
pub const INSTANCE_PAUSE: Duration = Duration::from_millis(10);

/// How long the messages that were received may take when the program ends. The rest is dropped and
/// counted. It is less than the requests have, which end at the same time.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(9);

/// The first pause before connecting again.
pub const BACKOFF: Duration = Duration::from_millis(100);

/// The longest pause before connecting again. Each message of this time is lost, so it is short.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);
