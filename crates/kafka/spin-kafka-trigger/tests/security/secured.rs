//! A broker with authentication and authorization.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use spin_kafka_trigger::Config;
use test_servers::{Kafka, KafkaConfig, Listener, Security};
use tokio::runtime::Runtime;

use crate::authority::{Authority, Identity};
use crate::secrets;

/// May read the topics and groups whose names begin with `open-`.
pub const READER: &str = "reader";
/// May read the same, but has a wrong password.
pub const LATECOMER: &str = "latecomer";
/// May read what a test grants.
pub const GUEST: &str = "guest";

const ACL_TOOL: &str = "org.apache.kafka.tools.AclCommand";

/// The broker, its users' passwords and its certificates.
pub struct Secured {
    pub kafka: Kafka,
    pub authority: Authority,
    users: BTreeMap<String, String>,
    _runtime: Runtime,
}

/// One broker for all tests of the process. It ends with the process.
pub fn secured() -> &'static Secured {
    static SHARED: LazyLock<Secured> = LazyLock::new(|| {
        // The broker must not start within the runtime of the first test, which ends with that
        // test.
        std::thread::spawn(start).join().unwrap()
    });
    &SHARED
}

fn start() -> Secured {
    secrets::capture();
    let authority = Authority::new("authority");
    let Identity { certificate, key } = authority.sign("broker", &["127.0.0.1"]);
    let users = [READER, LATECOMER, GUEST].map(|name| (name.to_owned(), secrets::password()));
    let security =
        Security { users: users.to_vec(), authority: authority.certificate(), certificate, key };
    let config = KafkaConfig { security: Some(security), ..KafkaConfig::default() };
    let runtime = Runtime::new().unwrap();
    let kafka = runtime.block_on(async {
        let kafka = Kafka::start(config).await.unwrap();
        let rights = ["--operation", "Read", "--topic", "open-", "--group", "open-"];
        let users = ["--allow-principal", "User:reader", "--allow-principal", "User:latecomer"];
        let prefixed = ["--add", "--resource-pattern-type", "prefixed"];
        kafka.tool(ACL_TOOL, &[&prefixed[..], &users, &rights].concat()).await.unwrap();
        kafka
    });
    Secured { kafka, authority, users: users.into(), _runtime: runtime }
}

impl Secured {
    pub fn password(&self, user: &str) -> &str {
        &self.users[user]
    }

    /// Settings for one topic through this listener, with a group of the same name.
    pub fn config(&self, listener: Listener, topic: &str, client: &[(&str, &str)]) -> Config {
        let protocol = match listener {
            Listener::Sasl => "sasl_plaintext",
            Listener::SaslTls => "sasl_ssl",
            Listener::Tls | Listener::MutualTls => "ssl",
        };
        // Short intervals, so that what a test repairs is noticed soon.
        let soon = [
            ("reconnect.backoff.max.ms", "500"),
            ("topic.metadata.refresh.interval.ms", "500"),
            ("security.protocol", protocol),
        ];
        let authority = ("ssl.ca.pem".to_owned(), self.authority.certificate());
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let given: BTreeMap<String, String> =
            std::iter::once(authority).chain(soon.iter().chain(client).map(owned)).collect();
        let brokers = self.kafka.listener(listener).unwrap();
        crate::support::config(&brokers, topic).client(given)
    }

    /// Settings of a user with a password, in plain text.
    pub fn with_password(
        &self,
        mechanism: &str,
        topic: &str,
        user: &str,
        password: &str,
    ) -> Config {
        let client =
            [("sasl.mechanism", mechanism), ("sasl.username", user), ("sasl.password", password)];
        self.config(Listener::Sasl, topic, &client)
    }

    /// Grants a right to the user [`GUEST`], such as `&["Read", "--topic", "sales"]`.
    pub async fn grant(&self, right: &[&str]) {
        self.change_rights("--add", right).await;
    }

    /// Revokes a right of the user [`GUEST`].
    pub async fn revoke(&self, right: &[&str]) {
        self.change_rights("--remove", right).await;
    }

    async fn change_rights(&self, change: &str, right: &[&str]) {
        let args = [change, "--force", "--allow-principal", "User:guest", "--operation"];
        self.kafka.tool(ACL_TOOL, &[&args[..], right].concat()).await.unwrap();
    }

    /// Gives a SCRAM user another password.
    pub async fn change_password(&self, user: &str, password: &str) {
        let password = format!("SCRAM-SHA-256=[password={password}]");
        let args = ["--alter", "--add-config", &password, "--entity-type", "users"];
        let args = [&args[..], &["--entity-name", user]].concat();
        self.kafka.tool("kafka.admin.ConfigCommand", &args).await.unwrap();
    }
}
