//! The limits of the host.

use std::time::Duration;

/// The limits of the host. Each field says what happens when the limit is reached.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Linear memory of one instance; each memory of a composition has this limit. Growth beyond it
    /// fails in the guest, which usually traps then. Default 128 MiB.
    pub instance_memory_bytes_max: usize,
    /// Instances of all components in the process at once; each member of a composition counts.
    /// Beyond that, instantiation fails: 503 for a request. One HTTP component may have at most
    /// this number divided by the number of components. Default 1,000.
    pub instances_max: u32,
    /// Requests that one HTTP instance serves before it is dropped. Default 100,000, so that a
    /// guest with a memory leak is replaced from time to time; the cost of that is not measurable.
    pub requests_per_instance_max: usize,
    /// Requests that one HTTP instance serves at once; for more of them another instance is
    /// started. If the instance traps, all its requests get 500. Default 64.
    pub requests_at_once_per_instance_max: usize,
    /// Requests of one HTTP component at once; more get 503 with `Retry-After`. Default 4,096.
    pub requests_at_once_max: usize,
    /// Connections of a port at once; more wait in the kernel's queue, and a warning is logged.
    /// Default 8,192.
    pub connections_max: usize,
    /// Time from a request to the head of its response, and again from there to the end of a
    /// gathered body. After that the client gets 504, and the instance takes no new requests. Also
    /// the time between two parts of a streamed body, after which the body is cut off. Default 30
    /// s.
    pub request_timeout: Duration,
    /// Time from the start of the connection, or from the end of the last answer, until the
    /// complete head of the client's next request. After that the connection is closed. Default 10
    /// s.
    pub head_timeout: Duration,
    /// Time for a client to send a request's body, from when the body is first read; after the
    /// request is answered, the time between two parts of the body. After that the client gets 408.
    /// Default 20 s, which is below `request_timeout`, so that a missing body does not count as a
    /// failure of the guest.
    pub body_timeout: Duration,
    /// Time in which a client reads nothing of an answer. After that the connection is closed.
    /// Default 30 s.
    pub send_timeout: Duration,
    /// Size of a request's head; a larger one gets 431. Default 64 KiB.
    pub head_bytes_max: usize,
    /// A body with a `content-length` up to this is passed on as a whole, in both directions, which
    /// saves wake-ups and writes. A longer body is streamed. Default 64 KiB.
    pub gathered_body_bytes_max: u64,
    /// An HTTP instance without a request for this long is dropped. Default 10 s.
    pub idle_instance_timeout: Duration,
    /// Time to establish an outgoing connection, unless the guest sets a shorter one. Default 5 s.
    pub connect_timeout: Duration,
    /// Time until the head of the response to an outgoing request, and then between two parts of
    /// its body, unless the guest sets a shorter one. Default 30 s.
    pub outbound_timeout: Duration,
    /// Time that the peer of an outgoing connection may be silent. After that the connection is
    /// closed and its requests fail; the next request opens another connection. An HTTP/2 peer that
    /// has not answered yet is pinged after two thirds of this time, and the operating system
    /// probes every socket. A peer that accepts no bytes also counts as silent. Default 12 s, which
    /// is below the 15 s that the bridge waits. It also keeps pings rare: gRPC servers, some of
    /// which close a connection at the fourth ping, get three within `outbound_timeout`.
    pub outbound_silence_max: Duration,
    /// Time that an outgoing connection may be idle in its pool. After that it is not used again,
    /// because its peer may have vanished. Default 5 s, which is below `head_timeout`: if the peer
    /// is such a host, too, it closes idle connections after that time.
    pub idle_outbound_timeout: Duration,
    /// Outgoing requests of the process at once, counted until the end of their answers. Each needs
    /// a connection, except for gRPC. A request beyond the limit fails at once: if it waited for
    /// requests that are for this process, and these need outgoing requests, too, none of them
    /// would ever finish. Default 16,384.
    pub outbound_requests_at_once_max: usize,
    /// Bytes of the complete requests that are being sent through `doorbuster:http/client`, and of
    /// the bodies that their responses may have, for the process. A request beyond the limit fails
    /// at once, like one beyond `outbound_requests_at_once_max`. Default 512 MiB, which is enough
    /// for 256 calls with the longest bodies, and for 7,000 that permit 64 KiB in a response.
    pub outbound_whole_bytes_max: usize,
    /// Idle connections that are kept for each outgoing host. Default 256.
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
            outbound_whole_bytes_max: 512 << 20,
            idle_outbound_connections_max: 256,
        }
    }
}
