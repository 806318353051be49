//! Every bound of the host, by name.

use std::time::Duration;

/// The host's bounds. Each says what happens when it is reached.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Linear memory of one instance, each memory of a composition on its own. Growth beyond
    /// it fails in the guest, which then traps as a rule. Default 128 MiB.
    pub instance_memory_bytes_max: usize,
    /// Instances alive at once in the process, all components together, each member of a
    /// composition counted. Past it an instantiation fails: 503 for a request. The HTTP instances
    /// of one component are at most this, divided by the number of components. Default 1,000.
    pub instances_max: u32,
    /// Requests that one HTTP instance serves before it is dropped. Default 100,000: a guest
    /// that leaks is renewed now and then, and the renewal costs nothing measurable.
    pub requests_per_instance_max: usize,
    /// Requests that one HTTP instance serves at once; more start another instance. They share
    /// its fate: if it traps, all of them get 500. Default 64.
    pub requests_at_once_per_instance_max: usize,
    /// Requests at once for one HTTP component; past it 503 with `Retry-After`. Default 4,096.
    pub requests_at_once_max: usize,
    /// Connections at once on a port; past it new ones wait in the kernel's queue, and the log says
    /// so. Default 8,192.
    pub connections_max: usize,
    /// Time a request may take until its response's head, and then again until the end of a
    /// gathered body. Past it 504; the instance takes no new requests. Also the time that may pass
    /// between two parts of a streamed body; past it the body is cut off. Default 30 s.
    pub request_timeout: Duration,
    /// Time a client may take until its next request's head is there in full, from its connection
    /// or from the end of the last answer. Past it the connection ends. Default 10 s.
    pub head_timeout: Duration,
    /// Time a client may take to send a request's body, from when it is asked for; once the
    /// request is answered, between two parts of it. Past it 408. Default 20 s, which is below
    /// `request_timeout`: a body that does not come is no fault of the guest.
    pub body_timeout: Duration,
    /// Time in which a client may take nothing of an answer. Past it the connection ends.
    /// Default 30 s.
    pub send_timeout: Duration,
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
    /// Time that the peer of an outgoing connection may be silent: an HTTP/2 peer that owes an
    /// answer is pinged after two thirds of it, and the system probes every socket; one that takes
    /// no bytes for so long counts as silent, too. Past it the connection ends and its requests
    /// fail; the next one opens another connection. Default 12 s: below the 15 s that the bridge
    /// waits, and with pings so rare that gRPC servers, of which some close a connection at the
    /// fourth ping, see three within `outbound_timeout`.
    pub outbound_silence_max: Duration,
    /// Time that an outgoing connection may rest in its pool. Past it, it is not used again: its
    /// peer may have vanished meanwhile. Default 5 s, which is below the `head_timeout` of a peer
    /// that is this host, too: that one closes connections at rest.
    pub idle_outbound_timeout: Duration,
    /// Outgoing requests at once in the process, until the end of their answers; each takes a
    /// connection, but for gRPC. Past it a request fails at once: waiting could keep those that
    /// have a place waiting, too, if they are for this process. Default 16,384.
    pub outbound_requests_at_once_max: usize,
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
            body_timeout: Duration::from_secs(20),
            send_timeout: Duration::from_secs(30),
            head_bytes_max: 64 << 10,
            gathered_body_bytes_max: 64 << 10,
            idle_instance_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            outbound_timeout: Duration::from_secs(30),
            outbound_silence_max: Duration::from_secs(12),
            idle_outbound_timeout: Duration::from_secs(5),
            outbound_requests_at_once_max: 16_384,
            idle_outbound_connections_max: 256,
        }
    }
}
