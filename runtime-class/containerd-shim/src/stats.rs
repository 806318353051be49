//! Reports the resource usage of a container to containerd.
//!
//! The library that the shim uses reports no CPU time or one in the wrong unit, reports no memory
//! limit, and provides no way to change that. So this service is a proxy between containerd and the
//! library's service: it forwards all requests, and corrects the response to one of them.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use containerd_shim::api::{
    ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse, DeleteRequest,
    DeleteResponse, Empty, KillRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest,
    StateResponse, StatsRequest, StatsResponse, WaitRequest, WaitResponse,
};
use containerd_shim::protos::cgroups::metrics::Metrics;
use containerd_shim::protos::protobuf::Message as _;
use containerd_shim::protos::ttrpc::{self, Server};
use containerd_shim::protos::{Client, Task, TaskClient, create_task};
use containerd_shim::{Context as Call, TtrpcContext, TtrpcResult};

use crate::usage::Usage;

/// The file descriptor of the listening socket with which a shim's server is started.
const SOCKET: RawFd = 3;

/// The library's own socket in the container's folder, in which the server is started. It is
/// deleted after this service has connected.
const INNER: &str = "library.sock";

/// Starts the proxy, if this process is a shim's server. Must be called before the library listens,
/// and after the zygote was started, because it starts threads.
pub fn start_proxy() -> Result<Option<Server>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let flags = containerd_shim::parse(&arguments)?;
    if flags.version || flags.info || flags.namespace.is_empty() || !flags.action.is_empty() {
        return Ok(None);
    }
    let listener = UnixListener::bind(INNER).context(INNER)?;
    let library = UnixStream::connect(INNER).context(INNER)?;
    fs::remove_file(INNER).context(INNER)?;
    let containerd = exchange(&listener).context("cannot exchange the shim's socket")?;
    let client = Client::new(library.into_raw_fd())?;
    let task: Box<dyn Task + Send + Sync> = Box::new(StatsProxy(TaskClient::new(client)));
    let server = Server::new().add_listener(containerd.into_raw_fd())?;
    let mut server = server.register_service(create_task(Arc::new(task)));
    server.start()?;
    Ok(Some(server))
}

/// Passes a new socket to the library, and returns the one that containerd connects to.
#[expect(unsafe_code, reason = "the library takes its socket by its number")]
fn exchange(listener: &UnixListener) -> io::Result<OwnedFd> {
    // SAFETY: the process that started this one passed the socket to it, and no other code has used
    // it yet.
    let mut socket = unsafe { OwnedFd::from_raw_fd(SOCKET) };
    let containerd = socket.try_clone()?;
    rustix::io::dup2(listener, &mut socket)?;
    // From here on the library owns the descriptor.
    let _: RawFd = socket.into_raw_fd();
    Ok(containerd)
}

struct StatsProxy(TaskClient);

/// The deadline and the metadata of the request, for the forwarded one.
fn copy(context: &TtrpcContext) -> Call {
    Call { metadata: context.metadata.clone(), timeout_nano: context.timeout_nano }
}

macro_rules! forward {
    ($($method:ident: $request:ty => $answer:ty,)*) => {
        $(fn $method(&self, context: &TtrpcContext, request: $request) -> TtrpcResult<$answer> {
            self.0.$method(copy(context), &request)
        })*
    };
}

impl Task for StatsProxy {
    forward! {
        state: StateRequest => StateResponse,
        create: CreateTaskRequest => CreateTaskResponse,
        start: StartRequest => StartResponse,
        delete: DeleteRequest => DeleteResponse,
        kill: KillRequest => Empty,
        wait: WaitRequest => WaitResponse,
        connect: ConnectRequest => ConnectResponse,
        shutdown: ShutdownRequest => Empty,
    }

    fn stats(&self, context: &TtrpcContext, request: StatsRequest) -> TtrpcResult<StatsResponse> {
        let state = StateRequest { id: request.id.clone(), ..StateRequest::default() };
        let pid = self.0.state(copy(context), &state)?.pid;
        let mut answer = self.0.stats(copy(context), &request)?;
        let corrected = Usage::of_process(pid).map_err(anyhow::Error::new);
        match corrected.and_then(|usage| correct(&answer.stats.value, &usage)) {
            Ok(value) => answer.stats.mut_or_insert_default().value = value,
            Err(error) => {
                let text = format!("cannot read what container {} uses: {error}", request.id);
                return Err(ttrpc::Error::RpcStatus(ttrpc::get_status(
                    ttrpc::Code::UNAVAILABLE,
                    text,
                )));
            }
        }
        Ok(answer)
    }
}

/// Replaces the values in the encoded metrics.
fn correct(metrics: &[u8], usage: &Usage) -> Result<Vec<u8>> {
    let mut metrics = Metrics::parse_from_bytes(metrics)?;
    let times = metrics.cpu.mut_or_insert_default().usage.mut_or_insert_default();
    (times.total, times.user, times.kernel) = (usage.total_ns, usage.user_ns, usage.kernel_ns);
    let memory = metrics.memory.mut_or_insert_default().usage.mut_or_insert_default();
    memory.limit = usage.memory_bytes_max;
    Ok(metrics.write_to_bytes()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_the_library_are_kept() {
        let mut known = Metrics::new();
        known.memory.mut_or_insert_default().usage.mut_or_insert_default().usage = 7;
        known.pids.mut_or_insert_default().current = 5;
        let usage = Usage { total_ns: 3, user_ns: 2, kernel_ns: 1, memory_bytes_max: 9 };
        let corrected = correct(&known.write_to_bytes().unwrap(), &usage).unwrap();
        let corrected = Metrics::parse_from_bytes(&corrected).unwrap();
        let times = &corrected.cpu.usage;
        assert_eq!((times.total, times.user, times.kernel), (3, 2, 1));
        let memory = &corrected.memory.usage;
        assert_eq!((memory.usage, memory.limit), (7, 9));
        assert_eq!(corrected.pids.current, 5);
    }
}
