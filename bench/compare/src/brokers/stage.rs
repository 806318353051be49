//! What a path consists of: the broker, the store and the application.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use test_servers::{
    Kafka, KafkaConfig, QueueClient, RabbitMq, RabbitMqConfig, Valkey, ValkeyConfig, start_valkey,
};
use tokio::net::TcpListener;

use crate::bench::{PARTITIONS, VALKEY_TIMEOUT};
use crate::brokers::posts::{Counts, Post};
use crate::brokers::proxy::Proxy;
use crate::brokers::publisher::Destination;
use crate::contender::alone;
use crate::process::{Process, free_address};

/// The application.
const MANIFEST: &str = "examples/weather/spin.toml";

/// What the keys of the component's state begin with.
const KEYS: &str = "{weather:1}:";

/// The brokers that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    Kafka,
    RabbitMq,
}

impl Broker {
    /// Both, in the order of their turns.
    pub const ALL: [Self; 2] = [Self::Kafka, Self::RabbitMq];

    /// The components of its path.
    fn components(self) -> &'static str {
        match self {
            Self::Kafka => "input-kafka,weather-kafka",
            Self::RabbitMq => "input-rabbitmq,weather-rabbitmq",
        }
    }

    /// The path of its front door.
    fn front_door(self) -> &'static str {
        match self {
            Self::Kafka => "/input",
            Self::RabbitMq => "/rabbitmq/input",
        }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kafka => "Kafka",
            Self::RabbitMq => "RabbitMQ",
        })
    }
}

/// The parts of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Program,
    Broker,
    Store,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Program, Self::Broker, Self::Store];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Program => "program",
            Self::Broker => "broker",
            Self::Store => "store",
        })
    }
}

enum Server {
    Kafka(Kafka),
    RabbitMq(RabbitMq),
}

/// The servers of a path, with the topic or the queue, and the application. All are killed when this
/// is dropped.
pub struct Stage {
    broker: Option<Server>,
    store: Option<Valkey>,
    program: Option<Process>,
    /// What the application reads from: the topic or the queue.
    name: String,
    kind: Broker,
    url: String,
    address: SocketAddr,
    operator: SocketAddr,
    _store_data: TempDir,
    /// The proxies before the front door, the broker and the store, in the order of [`Part::ALL`], and
    /// their addresses.
    proxies: [(Proxy, SocketAddr); 3],
    /// Number of posts that were published, which are numbered from 0, and of probes.
    pub posts: u64,
    pub probes: usize,
}

impl Stage {
    /// Starts the servers, without the application. Kafka acknowledges a record in the memory of the
    /// operating system, RabbitMQ after it is on disk; Valkey answers after it has written a change to
    /// its file.
    pub async fn start(kind: Broker) -> Result<Self> {
        let store_data = TempDir::new()?;
        let config = ValkeyConfig {
            data_dir: Some(store_data.path().into()),
            append_only: true,
            arguments: vec!["--appendfsync".into(), "always".into()],
            ..ValkeyConfig::default()
        };
        let store = start_valkey(config).await.context("cannot start Valkey")?;
        let name = "tweets-topic".to_owned();
        let (address, operator) = (free_address()?, free_address()?);
        let listeners = [Proxy::listen().await?, Proxy::listen().await?, Proxy::listen().await?];
        let [front, before_broker, before_store] = listeners;
        let (broker, url, port) = match kind {
            Broker::Kafka => {
                let advertised_port = Some(before_broker.local_addr()?.port());
                let config = KafkaConfig { tuned: true, advertised_port, ..KafkaConfig::default() };
                let kafka = Kafka::start(config).await.context("cannot start Kafka")?;
                let url = kafka.unproxied();
                let port = kafka.port();
                ensure_topic(&ProducerConfig::new(&url), NewTopic::new(&name, PARTITIONS)).await?;
                (Server::Kafka(kafka), url, port)
            }
            Broker::RabbitMq => {
                let rabbit =
                    RabbitMq::start(RabbitMqConfig { tuned: true, ..RabbitMqConfig::default() })
                        .await
                        .context("cannot start RabbitMQ")?;
                let url = rabbit.url();
                let client = QueueClient::connect(&url).await?;
                for queue in [&name, &format!("{name}.dead-letter")] {
                    client.declare(queue).await?;
                }
                let port = rabbit.port();
                (Server::RabbitMq(rabbit), url, port)
            }
        };
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let proxy = |listener: TcpListener, to| -> Result<_> {
            let own = listener.local_addr()?;
            Ok((Proxy::start(listener, to), own))
        };
        let proxies = [
            proxy(front, address)?,
            proxy(before_broker, local(port))?,
            proxy(before_store, local(store.port()))?,
        ];
        Ok(Self {
            broker: Some(broker),
            store: Some(store),
            program: None,
            name,
            kind,
            url,
            address,
            operator,
            _store_data: store_data,
            proxies,
            posts: 0,
            probes: 0,
        })
    }

    /// Where posts are published directly.
    pub fn destination(&self) -> Destination {
        let (url, name) = (self.url.clone(), self.name.clone());
        match self.kind {
            Broker::Kafka => Destination::Topic { brokers: url, topic: name },
            Broker::RabbitMq => Destination::Queue { url, queue: name },
        }
    }

    /// The front door of the application, through a proxy.
    pub fn front_door(&self) -> Destination {
        let [(_, front), ..] = self.proxies;
        Destination::Http { address: front, path: self.kind.front_door() }
    }

    /// Starts the application, which reaches the broker and the store directly. It may not be ready
    /// yet.
    pub fn start_program(&mut self) -> Result<()> {
        let (url, store) = (self.url.clone(), self.store()?.url());
        self.spawn_program(&url, &store)
    }

    /// The same, through the proxies.
    pub fn start_proxied_program(&mut self) -> Result<()> {
        let [_, (_, broker), (_, store)] = self.proxies;
        let url = match self.kind {
            Broker::Kafka => broker.to_string(),
            Broker::RabbitMq => format!("amqp://guest:guest@{broker}/%2f"),
        };
        self.spawn_program(&url, &format!("redis://{store}"))
    }

    fn spawn_program(&mut self, broker: &str, store: &str) -> Result<()> {
        let mut command = alone(Path::new(MANIFEST), self.address)?;
        command.args(["--component-id", self.kind.components()]);
        command.args(["--operator", &self.operator.to_string(), "--valkey", store]);
        match self.kind {
            Broker::Kafka => command.args(["--kafka", broker]),
            Broker::RabbitMq => {
                let url = format!("amqp_url={broker}");
                let (_, host) = broker.split_once('@').context("a URL without a user")?;
                let address = host.split('/').next().unwrap_or_default();
                let address = format!("amqp_address={address}");
                command.args(["--variable", &url, "--variable", &address]);
                command.args(["--variable", "rabbitmq_database=0"])
            }
        };
        self.program = Some(Process::start(&format!("weather-{}", self.kind), command)?);
        Ok(())
    }

    /// Stops the application as an operator does.
    pub async fn stop_program(&mut self) -> Result<()> {
        match self.program.take() {
            Some(program) => program.stop().await,
            None => Ok(()),
        }
    }

    /// Kills a part with SIGKILL, and starts it again: the application with the proxies.
    pub async fn kill(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Program => {
                self.program.take().context("no program")?.kill().await?;
                self.start_proxied_program()
            }
            Part::Broker => {
                self.broker = Some(match self.broker.take().context("no broker")? {
                    Server::Kafka(mut kafka) => {
                        kafka.kill().await?;
                        Server::Kafka(kafka.restart().await?)
                    }
                    Server::RabbitMq(mut rabbit) => {
                        rabbit.kill().await?;
                        rabbit.restart().await?;
                        Server::RabbitMq(rabbit)
                    }
                });
                Ok(())
            }
            Part::Store => {
                let mut store = self.store.take().context("no store")?;
                store.kill().await?;
                self.store = Some(store.restart().await?);
                Ok(())
            }
        }
    }

    /// Freezes a part, whose connections stay open, or lets it continue.
    pub fn freeze(&self, part: Part, is_frozen: bool) -> Result<()> {
        match (part, self.broker.as_ref().context("no broker")?) {
            (Part::Program, _) => self.program.as_ref().context("no program")?.freeze(is_frozen),
            (Part::Store, _) if is_frozen => self.store()?.pause(),
            (Part::Store, _) => self.store()?.resume(),
            (Part::Broker, Server::Kafka(kafka)) if is_frozen => kafka.pause(),
            (Part::Broker, Server::Kafka(kafka)) => kafka.resume(),
            (Part::Broker, Server::RabbitMq(rabbit)) if is_frozen => rabbit.pause(),
            (Part::Broker, Server::RabbitMq(rabbit)) => rabbit.resume(),
        }
    }

    /// Cuts the connections to a part, or accepts them again.
    pub fn cut(&self, part: Part, is_cut: bool) {
        let proxies = Part::ALL.iter().zip(&self.proxies).filter(|(other, _)| **other == part);
        proxies.for_each(|(_, (proxy, _))| proxy.cut(is_cut));
    }

    /// The process of a part.
    pub fn pid(&self, part: Part) -> Result<u32> {
        match (part, self.broker.as_ref().context("no broker")?) {
            (Part::Program, _) => self.program.as_ref().context("no program")?.pid(),
            (Part::Store, _) => Ok(self.store()?.pid()),
            (Part::Broker, Server::Kafka(kafka)) => Ok(kafka.pid()),
            (Part::Broker, Server::RabbitMq(rabbit)) => Ok(rabbit.pid()),
        }
    }

    fn store(&self) -> Result<&Valkey> {
        self.store.as_ref().context("no store")
    }

    /// A connection to the store.
    pub async fn connect_store(&self) -> Result<MultiplexedConnection> {
        let client = redis::Client::open(self.store()?.url())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(VALKEY_TIMEOUT))
            .set_response_timeout(Some(VALKEY_TIMEOUT));
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// The number of all posts and probes.
    pub fn published(&self) -> u64 {
        self.posts + self.probes as u64
    }

    /// Compares the counts with a naive recount. Returns how many posts were lost, and how many were
    /// doubled.
    pub async fn lost_and_doubled(&self) -> Result<(u64, u64)> {
        let posts = (0..self.posts).map(Post::numbered);
        let expected = Counts::of(posts.chain(Post::probes().take(self.probes)));
        Ok(counts(&mut self.connect_store().await?).await?.lost_and_doubled(&expected))
    }

    /// The URL of the metrics of the application.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.operator)
    }
}

/// The number of counted posts.
pub async fn counted(store: &mut MultiplexedConnection) -> Result<u64> {
    let count: Option<u64> =
        redis::cmd("GET").arg(format!("{KEYS}posts")).query_async(store).await?;
    Ok(count.unwrap_or(0))
}

/// Which of these countries are counted.
pub async fn are_counted(
    store: &mut MultiplexedConnection,
    countries: &[&str],
) -> Result<Vec<bool>> {
    let mut command = redis::cmd("HMGET");
    let counts: Vec<Option<u64>> =
        command.arg(format!("{KEYS}countries")).arg(countries).query_async(store).await?;
    Ok(counts.iter().map(Option::is_some).collect())
}

/// All counts.
async fn counts(store: &mut MultiplexedConnection) -> Result<Counts> {
    let mut counts = Counts::default();
    counts.0.insert("posts".into(), counted(store).await?);
    for group in ["countries", "weather"] {
        let fields: BTreeMap<String, u64> =
            redis::cmd("HGETALL").arg(format!("{KEYS}{group}")).query_async(store).await?;
        counts.0.extend(fields.into_iter().map(|(name, n)| (format!("{group}/{name}"), n)));
    }
    Ok(counts)
}
