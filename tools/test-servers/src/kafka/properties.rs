//! The `server.properties` of a broker.

use std::path::Path;

use anyhow::Result;

use crate::security::Secured;
use child_server::free_port;

/// Time without a heartbeat after which a broker is fenced and its partitions get other leaders. A
/// broker that was killed cannot rejoin before this time has passed.
const SESSION_TIMEOUT_MS: u32 = 3_000;

/// Time after which a replica that has fallen behind is removed from the in-sync replicas.
const REPLICA_LAG_MS: u32 = 3_000;

/// The ports of one node, all on the loopback interface.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// The listener for clients.
    pub clients: u16,
    /// The listener for brokers and tools.
    pub brokers: u16,
    /// The listener for controllers.
    pub controllers: u16,
}

impl Ports {
    /// Free ports, except for `clients` if that is specified.
    pub fn new(clients: Option<u16>) -> Result<Self> {
        Ok(Self {
            clients: clients.map_or_else(free_port, Ok)?,
            brokers: free_port()?,
            controllers: free_port()?,
        })
    }
}

/// The other controllers of the cluster.
#[derive(Debug, Clone)]
pub(crate) enum Quorum {
    /// There are none.
    Alone,
    /// `ID@HOST:PORT` of each controller, separated by commas.
    Voters(String),
}

/// The configuration of one node, which is a broker and a controller in one process.
#[derive(Debug, Clone)]
pub(crate) struct Properties {
    /// The node id, from 1.
    pub id: usize,
    pub ports: Ports,
    /// The advertised port for clients.
    pub advertised_port: Option<u16>,
    pub quorum: Quorum,
    /// Number of replicas of each record.
    pub copies: usize,
    pub secured: Option<Secured>,
    /// Additional lines, which take precedence over the others.
    pub more: Vec<String>,
}

impl Properties {
    /// The text of the file, for a node with its data in `dir`.
    pub fn text(&self, dir: &Path) -> String {
        let mut lines = vec![
            "process.roles=broker,controller".to_owned(),
            format!("node.id={}", self.id),
            self.quorum(),
            format!("log.dirs={}", dir.display()),
            "auto.create.topics.enable=false".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
            "log.cleaner.dedupe.buffer.size=16777216".to_owned(),
        ];
        lines.extend(self.listeners());
        lines.extend(self.copies());
        lines.extend(self.secured.as_ref().map(Secured::properties));
        lines.extend_from_slice(&self.more);
        lines.push(String::new());
        lines.join("\n")
    }

    /// The ports that accept connections when the node is ready.
    pub fn open_ports(&self) -> Vec<u16> {
        let mut ports = vec![self.ports.clients, self.ports.brokers];
        ports.extend(self.secured.iter().flat_map(Secured::ports));
        ports
    }

    /// Arguments for the tool that formats the node's folder.
    pub fn format_args(&self) -> Vec<String> {
        let mut args = self.secured.as_ref().map(Secured::format_args).unwrap_or_default();
        if matches!(self.quorum, Quorum::Alone) {
            args.push("--standalone".into());
        }
        args
    }

    fn quorum(&self) -> String {
        match &self.quorum {
            Quorum::Alone => {
                let port = self.ports.controllers;
                format!("controller.quorum.bootstrap.servers=127.0.0.1:{port}")
            }
            Quorum::Voters(voters) => format!("controller.quorum.voters={voters}"),
        }
    }

    /// The brokers have their own listener, so that they never use the addresses that are
    /// advertised to clients.
    fn listeners(&self) -> [String; 5] {
        let Ports { clients, brokers, controllers } = self.ports;
        let advertised = self.advertised_port.unwrap_or(clients);
        let secured = self.secured.as_ref();
        let further = secured.map(Secured::listeners).unwrap_or_default();
        let protocols = secured.map(Secured::protocols).unwrap_or_default();
        let shared = format!("BROKERS://127.0.0.1:{brokers}{further}");
        [
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{clients},\
                 CONTROLLER://127.0.0.1:{controllers},{shared}"
            ),
            format!("advertised.listeners=PLAINTEXT://127.0.0.1:{advertised},{shared}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            "inter.broker.listener.name=BROKERS".to_owned(),
            format!(
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,BROKERS:PLAINTEXT,\
                 CONTROLLER:PLAINTEXT{protocols}"
            ),
        ]
    }

    /// Every broker has a replica of each record. Of three brokers, one may be down.
    fn copies(&self) -> Vec<String> {
        let copies = self.copies;
        let in_sync = if copies >= 3 { 2 } else { 1 };
        vec![
            format!("default.replication.factor={copies}"),
            format!("min.insync.replicas={in_sync}"),
            format!("offsets.topic.replication.factor={copies}"),
            "offsets.topic.num.partitions=5".to_owned(),
            format!("transaction.state.log.replication.factor={copies}"),
            format!("transaction.state.log.min.isr={in_sync}"),
            "transaction.state.log.num.partitions=5".to_owned(),
            format!("share.coordinator.state.topic.replication.factor={copies}"),
            format!("share.coordinator.state.topic.min.isr={in_sync}"),
            "unclean.leader.election.enable=false".to_owned(),
            format!("replica.lag.time.max.ms={REPLICA_LAG_MS}"),
            format!("broker.session.timeout.ms={SESSION_TIMEOUT_MS}"),
            // At least two heartbeats in each session timeout.
            format!("broker.heartbeat.interval.ms={}", SESSION_TIMEOUT_MS / 3),
        ]
    }
}
