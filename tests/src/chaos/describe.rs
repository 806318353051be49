//! Descriptions of the faults.

use super::fault::Fault;
use super::link::Link;

impl Fault {
    /// The description for the table.
    pub fn describe(self) -> String {
        match self {
            Self::FrontCrash => "a process that takes and counts sales: `kill -9`".into(),
            Self::FrontZombie => {
                "a process that takes and counts sales: frozen for 9 s, its partitions move".into()
            }
            Self::FrontRestart => {
                "a process that takes and counts sales: SIGTERM and a new start".into()
            }
            Self::CounterCrash => "a process that only counts: `kill -9`".into(),
            Self::CounterZombie => {
                "a process that only counts: frozen for 9 s, its partitions move".into()
            }
            Self::Rebalance => "a member joins the group and leaves it".into(),
            Self::ClockJump => {
                "a process's wall clock: 50 min ahead or back, and right again".into()
            }
            Self::Repeats => "clients send every accepted sale once more, late".into(),
            Self::BrokerCrash => "a broker: `kill -9`".into(),
            Self::BrokerPause => "a broker: frozen for 3 s".into(),
            Self::BrokersCrash => "all brokers: `kill -9`".into(),
            Self::LeaderLost => "two brokers frozen, the third `kill -9`, the two go on".into(),
            Self::DiskFull => "a broker: its disk is full".into(),
            Self::OlderDisk => "a broker: back with its disk of 3 s ago".into(),
            Self::TopicAgain => {
                "the topic, once counted: deleted, made again at once or after 3, 12 or 35 s".into()
            }
            Self::LogExpired => "records that are counted: deleted from the log".into(),
            Self::Transactions => {
                "another program's transactions: committed, aborted, open for 1.5 s".into()
            }
            Self::OddTimes => {
                "another program's records: without a time, decades old, 50 min ahead".into()
            }
            Self::LettersGone => "a bad record while the dead-letter topic is deleted".into(),
            Self::LettersTooSmall => {
                "a bad record while the dead-letter topic takes none of its size".into()
            }
            Self::IdleClients => {
                "300 clients on each front door that send nothing or half a request".into()
            }
            Self::StoreCrash => "Valkey: `kill -9`, with an append-only file".into(),
            Self::StorePause => "Valkey: frozen for 1.5 s".into(),
            Self::StoreWithoutFile => "Valkey: `kill -9`, without a file: comes back empty".into(),
            Self::StoreSnapshot => "Valkey: back with a snapshot 1.5 s old".into(),
            Self::StoreFlush => "Valkey: FLUSHALL".into(),
            Self::StoreFailover => "Valkey: a replica that lags 1.5 s takes over".into(),
            Self::StoreFull => "Valkey: its memory is full for 1.5 s".into(),
            Self::StoreForbids => "Valkey: no right to ZADD for 1.5 s".into(),
            Self::Cut(link) => format!("network cut for 1.5 s: {link}"),
            Self::Slow(link) => format!("network slow, 20 to 200 ms: {link}"),
            Self::Mute(link) => format!("answers lost for 1.5 s: {link}"),
        }
    }

    /// The known behaviour of an earlier design after the same fault.
    pub fn before(self) -> &'static str {
        match self {
            Self::FrontCrash | Self::CounterCrash => "up to 1,568 doubled",
            Self::FrontZombie | Self::CounterZombie | Self::Rebalance => {
                "doubled: what was counted since the last mark"
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
