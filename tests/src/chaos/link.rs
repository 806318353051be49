//! The parts of the network.

use std::fmt;

pub use super::proxy::LinkState;

/// A part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// Between the clients and the request path.
    Clients,
    /// Between the components of the chained process: ingest to bridge, bridge to writer.
    Hops,
    /// Between the processes and all brokers.
    Kafka,
    /// Between the processes and Valkey.
    Store,
}

impl Link {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Clients, Self::Hops, Self::Kafka, Self::Store];
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Link::Clients => "clients and ingest",
            Link::Hops => "ingest, bridge and writer",
            Link::Kafka => "components and Kafka",
            Link::Store => "components and Valkey",
        })
    }
}
