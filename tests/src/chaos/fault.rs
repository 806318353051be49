//! The faults.

use super::link::Link;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A process with the request path is killed and started again.
    FrontCrash,
    /// A process with the request path is paused for longer than the session timeout, and then
    /// continued.
    FrontZombie,
    /// A process with the request path is stopped with SIGTERM and started again.
    FrontRestart,
    /// The process with only the aggregator is killed and started again.
    CounterCrash,
    /// The process with only the aggregator is paused for longer than the session timeout, and then
    /// continued.
    CounterZombie,
    /// A member joins the group and leaves it.
    Rebalance,
    /// The wall clock of a process with the request path jumps forward or back, and is corrected
    /// later.
    ClockJump,
    /// Clients send every accepted sale again, late and out of order.
    Repeats,
    /// A broker is killed and started again.
    BrokerCrash,
    /// A broker is paused.
    BrokerPause,
    /// All brokers are killed at once and started again.
    BrokersCrash,
    /// Two brokers are paused, the third one crashes, and then the two are resumed without it.
    LeaderLost,
    /// The disk of a broker is full: the broker ends, and is started again with free space.
    DiskFull,
    /// A broker is started again with an older state of its disk.
    OlderDisk,
    /// The topics are deleted after all records are counted, and created again at once or after 3, 12
    /// or 35 s.
    TopicAgain,
    /// Records that were counted are deleted from the log.
    LogExpired,
    /// Another program writes records in transactions: one is committed, one is aborted, and one
    /// stays open for a while.
    Transactions,
    /// Another program writes records that have no timestamp, or one far in the past or in
    /// the future.
    OddTimes,
    /// A record must be given up while the dead-letter topics do not exist.
    LettersGone,
    /// A record must be given up while the dead-letter topics accept no record of its size.
    LettersTooSmall,
    /// Hundreds of clients connect to every process with the request path and send nothing, or half
    /// a request.
    IdleClients,
    /// Valkey is killed and started again with its append-only file.
    StoreCrash,
    /// Valkey is paused.
    StorePause,
    /// Valkey is killed and started again empty, because it had no append-only file.
    StoreWithoutFile,
    /// Valkey is killed and started again with an older snapshot.
    StoreSnapshot,
    /// All keys in Valkey are deleted.
    StoreFlush,
    /// A replica that lags behind becomes the primary.
    StoreFailover,
    /// Valkey's memory is full, so it refuses writes.
    StoreFull,
    /// Valkey's user loses the permission for a command that the script needs in its middle.
    StoreForbids,
    /// The connections between two parts are interrupted.
    Cut(Link),
    /// The network between two parts is slow.
    Slow(Link),
    /// Requests between two parts arrive, but responses do not.
    Mute(Link),
}

impl Fault {
    /// All faults.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::FrontCrash,
            Self::FrontZombie,
            Self::FrontRestart,
            Self::CounterCrash,
            Self::CounterZombie,
            Self::Rebalance,
            Self::ClockJump,
            Self::Repeats,
            Self::BrokerCrash,
            Self::BrokerPause,
            Self::BrokersCrash,
            Self::LeaderLost,
            Self::DiskFull,
            Self::OlderDisk,
            Self::TopicAgain,
            Self::LogExpired,
            Self::Transactions,
            Self::OddTimes,
            Self::LettersGone,
            Self::LettersTooSmall,
            Self::IdleClients,
            Self::StoreCrash,
            Self::StorePause,
            Self::StoreWithoutFile,
            Self::StoreSnapshot,
            Self::StoreFlush,
            Self::StoreFailover,
            Self::StoreFull,
            Self::StoreForbids,
        ];
        for link in Link::ALL {
            all.extend([Self::Cut(link), Self::Slow(link), Self::Mute(link)]);
        }
        all
    }

    /// Whether the fault removes records from the log. If Valkey loses data after that, the counts
    /// cannot be rebuilt from the log.
    pub fn shortens_log(self) -> bool {
        matches!(self, Self::TopicAgain | Self::LogExpired)
    }

    /// Whether every request must be accepted in spite of the fault.
    pub fn spares_intake(self) -> bool {
        match self {
            Self::CounterCrash
            | Self::CounterZombie
            | Self::Rebalance
            | Self::Repeats
            | Self::StoreCrash
            | Self::StorePause
            | Self::StoreWithoutFile
            | Self::StoreSnapshot
            | Self::StoreFlush
            | Self::StoreFailover
            | Self::StoreFull
            | Self::StoreForbids
            | Self::LogExpired
            | Self::Transactions
            | Self::OddTimes
            | Self::LettersGone
            | Self::LettersTooSmall
            | Self::IdleClients => true,
            Self::Cut(link) | Self::Slow(link) | Self::Mute(link) => link == Link::Store,
            _ => false,
        }
    }
}
