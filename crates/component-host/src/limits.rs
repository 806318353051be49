//! Every bound of the host, by name.

use std::time::Duration;

/// The host's bounds. Each says what happens when it is reached.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Linear memory of one instance, each memory of a composition on its own. Growth beyond
    /// it fails in the guest, which then traps as a rule. Default 128 MiB.
    pub instance_memory_bytes_max: usize,
    /// Instances alive at once in the process, all components together, each member of a
    /// composition counted. Past it an instantiation fails: 503 for a request. Default 1,000.
    pub instances_max: u32,
    /// Requests that one HTTP instance serves before it is dropped. Default 100,000: a guest
    /// that leaks is renewed now and then, and the renewal costs nothing measurable.
    pub requests_per_instance_max: usize,
    /// Requests that one HTTP instance serves at once; more start another instance. They share
    /// its fate: if it traps, all of them get 500. Default 64.
    pub requests_at_once_per_instance_max: usize,
    /// Requests at once for one HTTP component; past it 503 with `Retry-After`. Default 4,096.
    pub requests_at_once_max: usize,
    /// Connections at once; past it new ones wait in the kernel's queue. Default 8,192.
    pub connections_max: usize,
    /// Time a request may take until its response's head, and then again until the end of a
    /// gathered body. Past it 504; the instance takes no new requests. Default 30 s.
    pub request_timeout: Duration,
    /// Time a client may take to send a request's head. Past it the connection ends.
    /// Default 10 s.
    pub head_timeout: Duration,
    /// Size of a request's head. Past it 431. Default 64 KiB.
    pub head_bytes_max: usize,
    /// A body with a `content-length` up to this is handed over in one piece, in both
    /// directions, which saves wake-ups and writes; longer ones are streamed. Default 64 KiB.
    pub gathered_body_bytes_max: u64,
    /// An HTTP instance without a request for this long is dropped. Default 10 s.
    pub idle_instance_timeout: Duration,
    /// Time an outgoing connection may take, unless the guest asks for less. Default 5 s.
    pub connect_timeout: Duration,
    /// Time until an outgoing request's response head, and then between two parts of its body,
    /// unless the guest asks for less.
    /// Default 30 s.
    pub outbound_timeout: Duration,
    /// Idle connections kept per outgoing host. Default 256.
    pub idle_outbound_connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instance_memory_bytes_max: 128 << 20,
            instances_max: 1_000,
            requests_per_instance_max: 100_000,
            requests_at_once_per_instance_max: 64,
            requests_at_once_max: 4_096,
            connections_max: 8_192,
            request_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            head_bytes_max: 64 << 10,
            gathered_body_bytes_max: 64 << 10,
            idle_instance_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            outbound_timeout: Duration::from_secs(30),
            idle_outbound_connections_max: 256,
        }
    }
}
