//! Crashes of the broker, and connections that are cut.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use spin_amqp_trigger::Config;
use test_servers::{RabbitMq, RabbitMqConfig, eventually};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::{Applied, Running, connect, publish};

/// Passes connections on, and cuts them.
struct Proxy {
    port: u16,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
        let passed_on = connections.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let connection = tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
                passed_on.lock().unwrap().push(connection);
            }
        });
        Self { port, connections, accepting }
    }

    /// Cuts all connections. Returns how many there were.
    fn cut(&self) -> usize {
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        connections.iter().for_each(JoinHandle::abort);
        connections.len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_when_the_broker_is_killed_and_connections_are_cut() {
    let mut broker = RabbitMq::start(RabbitMqConfig::default()).await.unwrap();
    let (direct, queue) = (broker.url(), "posts");
    let proxy = Proxy::start(broker.port()).await;
    let client = connect(&direct).await;
    client.declare(queue).await.unwrap();
    client.declare(&format!("{queue}.dead-letter")).await.unwrap();
    let mut config = Config::new(format!("amqp://guest:guest@127.0.0.1:{}/%2f", proxy.port), queue);
    (config.prefetch, config.batch_records_max) = (100, 50);
    config.retry_backoff = Duration::from_millis(10);
    config.retry_backoff_max = Duration::from_millis(200);
    let applied = Applied::new(1);
    let bodies = |numbers: std::ops::Range<u32>| numbers.map(|number| format!("m{number}"));
    let reaches = async |count: usize| {
        eventually("messages are applied", async || (applied.count() >= count).then_some(())).await;
    };
    publish(&client, queue, bodies(0..2_000)).await;
    let running = Running::start(config, &applied);
    reaches(200).await;
    // A batch is in flight while the connection is cut, and its acknowledgement is lost.
    let permit = applied.gate.clone().acquire_owned().await.unwrap();
    assert!(proxy.cut() >= 1);
    drop(permit);
    reaches(400).await;
    broker.kill().await.unwrap();
    eventually("the trigger notices", async || (!running.progress.is_member()).then_some(())).await;
    broker.restart().await.unwrap();
    reaches(2_000).await;
    let client = connect(&direct).await;
    publish(&client, queue, bodies(2_000..2_100)).await;
    reaches(2_100).await;
    running.stop().await;
    assert_eq!(client.waiting(queue).await.unwrap(), 0);
    let applied = applied.bodies.lock().unwrap();
    assert!(bodies(0..2_100).all(|body| applied.contains_key(&body)));
}
