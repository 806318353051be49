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
            Self::StoreCrash,
            Self::StorePause,
            Self::StoreWithoutFile,
            Self::StoreSnapshot,
            Self::StoreFlush,
            Self::StoreFailover,
        ];
        for link in Link::ALL {
            all.extend([Self::Cut(link), Self::Slow(link), Self::Mute(link)]);
        }
        all
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
            | Self::StoreFailover => true,
            Self::Cut(link) | Self::Slow(link) | Self::Mute(link) => link == Link::Store,
            _ => false,
        }
    }
}
