//! Descriptions of the faults.

use super::fault::Fault;
use super::link::Link;

impl Fault {
    /// The description for the table.
    pub fn describe(self) -> String {
        match self {
            Self::FrontCrash => "a process that accepts and counts sales: `kill -9`".into(),
            Self::FrontZombie => {
                "a process that accepts and counts sales: frozen for 9 s, partitions move".into()
            }
            Self::FrontRestart => {
                "a process that accepts and counts sales: SIGTERM and a new start".into()
            }
            Self::CounterCrash => "a process that only counts: `kill -9`".into(),
            Self::CounterZombie => {
                "a process that only counts: frozen for 9 s, partitions move".into()
            }
            Self::Rebalance => "a member joins the group and leaves it".into(),
            Self::ClockJump => {
                "a process's wall clock: 50 min ahead or back, then corrected".into()
            }
            Self::Repeats => "clients send every accepted sale a second time, later".into(),
            Self::BrokerCrash => "a broker: `kill -9`".into(),
            Self::BrokerPause => "a broker: frozen for 3 s".into(),
            Self::BrokersCrash => "all brokers: `kill -9`".into(),
            Self::LeaderLost => {
                "two brokers frozen, the third `kill -9`, then the two resumed".into()
            }
            Self::DiskFull => "a broker: its disk is full".into(),
            Self::OlderDisk => "a broker: restarted with the state of its disk 3 s earlier".into(),
            Self::TopicAgain => {
                "the counted topics: deleted, created again at once or after 3, 12 or 35 s".into()
            }
            Self::LogExpired => "records that are counted: deleted from the log".into(),
            Self::Transactions => {
                "another program's transactions: committed, aborted, open for 1.5 s".into()
            }
            Self::OddTimes => {
                "another program's records: without a time, decades old, 50 min ahead".into()
            }
            Self::LettersGone => "a bad record while the dead-letter topics are deleted".into(),
            Self::LettersTooSmall => {
                "a bad record while the dead-letter topics accept none of its size".into()
            }
            Self::IdleClients => {
                "300 clients on each HTTP port that send nothing or half a request".into()
            }
            Self::StoreCrash => "Valkey: `kill -9`, with an append-only file".into(),
            Self::StorePause => "Valkey: frozen for 1.5 s".into(),
            Self::StoreWithoutFile => "Valkey: `kill -9`, without a file: restarted empty".into(),
            Self::StoreSnapshot => "Valkey: restarted with a snapshot 1.5 s old".into(),
            Self::StoreFlush => "Valkey: FLUSHALL".into(),
            Self::StoreFailover => "Valkey: a replica that lags 1.5 s is promoted".into(),
            Self::StoreFull => "Valkey: its memory is full for 1.5 s".into(),
            Self::StoreForbids => "Valkey: no permission for ZADD for 1.5 s".into(),
            Self::Cut(link) => format!("network interrupted for 1.5 s: {link}"),
            Self::Slow(link) => format!("network slow, 20 to 200 ms: {link}"),
            Self::Mute(link) => format!("answers lost for 1.5 s: {link}"),
        }
    }

    /// The known behaviour of an earlier design after the same fault.
    pub fn before(self) -> &'static str {
        match self {
            Self::FrontCrash | Self::CounterCrash => "up to 1,568 doubled",
            Self::FrontZombie | Self::CounterZombie | Self::Rebalance => {
                "doubled: sales counted since the last commit"
            }
            Self::Repeats => "all doubled",
            Self::BrokersCrash | Self::Cut(Link::Kafka) | Self::Mute(Link::Kafka) => {
                "10 s: up to 2,021 doubled, 845 counted though refused"
            }
            Self::StoreCrash | Self::StorePause | Self::Cut(Link::Store) => "10 s: 41 lost",
            Self::StoreSnapshot | Self::StoreFailover => "4,230 lost",
            Self::StoreWithoutFile | Self::StoreFlush => "everything lost",
            Self::Mute(Link::Clients) => "doubled by the clients' retries",
            _ => "not known",
        }
    }
}
