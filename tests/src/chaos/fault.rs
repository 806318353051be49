//! What can happen.

use super::link::Link;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A front door is killed and started again.
    FrontCrash,
    /// A front door is frozen for longer than the group waits, and wakes up.
    FrontZombie,
    /// A front door is ended with SIGTERM and started again.
    FrontRestart,
    /// The process that only counts is killed and started again.
    CounterCrash,
    /// The process that only counts is frozen for longer than the group waits, and wakes up.
    CounterZombie,
    /// A member joins the group and leaves it.
    Rebalance,
    /// The wall clock of a front door jumps, ahead or back, and is put right again.
    ClockJump,
    /// Clients send every accepted sale once more, late and out of order.
    Repeats,
    /// A broker is killed and started again.
    BrokerCrash,
    /// A broker is frozen.
    BrokerPause,
    /// All brokers are killed at once and started again.
    BrokersCrash,
    /// Two brokers freeze, the third crashes, and the two wake up without it.
    LeaderLost,
    /// A broker's disk is full: it ends, and is started again with room.
    DiskFull,
    /// A broker comes back with its disk as it was some time before.
    OlderDisk,
    /// The topic is deleted once all is counted, and made again at once or after 3, 12 or 35 s.
    TopicAgain,
    /// Records that are counted are deleted from the log.
    LogExpired,
    /// A foreign program writes sales in transactions: one it commits, one it aborts, and one
    /// stays open for a while.
    Transactions,
    /// A foreign program writes sales whose records have no time, or one that is long past or
    /// ahead.
    OddTimes,
    /// A record must be given up while there is no topic for dead letters.
    LettersGone,
    /// A record must be given up while the topic for dead letters takes no record of its size.
    LettersTooSmall,
    /// Hundreds of clients connect to each front door and send nothing, or half a request.
    IdleClients,
    /// The store is killed and comes back with its append-only file.
    StoreCrash,
    /// The store is frozen.
    StorePause,
    /// The store is killed and comes back empty: it had no append-only file.
    StoreWithoutFile,
    /// The store is killed and comes back with an older snapshot.
    StoreSnapshot,
    /// Everything in the store is deleted.
    StoreFlush,
    /// A replica that lags takes the store's place.
    StoreFailover,
    /// The store's memory is full: it refuses writes.
    StoreFull,
    /// The store's user loses the right to a command that updates need half-way.
    StoreForbids,
    /// The network is cut between two parts.
    Cut(Link),
    /// The network between two parts is slow.
    Slow(Link),
    /// Requests pass between two parts and answers do not.
    Mute(Link),
}

impl Fault {
    /// All of them.
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

    /// Whether it takes records out of the log. A store that loses something after that can no
    /// longer be built again from the log.
    pub fn shortens_log(self) -> bool {
        matches!(self, Self::TopicAgain | Self::LogExpired)
    }

    /// Whether every request is answered all the same.
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
