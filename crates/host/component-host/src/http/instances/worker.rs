//! Creates the instances of a component, and the pool for them.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::Store;

use super::event_loop;
use super::handlers::{Handlers, HandlersPre};
use super::instance::InstanceLimits;
use super::pool::{InstanceSlot, Pool};
use super::schedule::PoolLimits;
use crate::guest::Guest;
use crate::http::metrics::PoolGauges;
use crate::state::GuestState;
use crate::{Error, Limits};

/// Creates and runs the instances of one component.
struct Worker {
    guest: Guest,
    handlers: HandlersPre,
    request_timeout: Duration,
}

/// Creates the pool of one component of a process with this number of components. Fails if the
/// component exports no HTTP handler of WASI 0.2 or 0.3.
pub(in crate::http) fn new_pool(
    guest: &Guest,
    limits: &Limits,
    components: usize,
    gauges: &PoolGauges,
) -> Result<Arc<Pool>, Error> {
    let handlers = HandlersPre::new(guest)?;
    let required = guest.pre().component().resources_required();
    let memories = required.map_or(1, |required| required.num_memories);
    // An instance with a handler of WASI 0.2 serves a single request.
    let (requests_max, at_once_max) = if handlers.serve_one_request() {
        (1, 1)
    } else {
        (limits.requests_per_instance_max, limits.requests_at_once_per_instance_max)
    };
    let pool_limits = PoolLimits {
        requests_at_once_max: limits.requests_at_once_max,
        at_once_per_instance_max: at_once_max,
        instances_max: share(limits.instances_max, components, memories),
        parallel: available_parallelism().map_or(1, usize::from),
    };
    let instance_limits = InstanceLimits {
        requests_max,
        at_once_max,
        idle_timeout: limits.idle_instance_timeout,
        request_timeout: limits.request_timeout,
    };
    let worker = Worker { guest: guest.clone(), handlers, request_timeout: limits.request_timeout };
    let worker = Arc::new(worker);
    let launch = move |slot| drop(tokio::spawn(worker.clone().run(slot)));
    Ok(Pool::new(&guest.id, pool_limits, instance_limits, gauges.clone(), Box::new(launch)))
}

/// The most instances of one of this many components, if each instance has this many memories.
fn share(instances_max: u32, components: usize, memories: u32) -> usize {
    let instances = usize::try_from(instances_max / memories.max(1)).unwrap_or(usize::MAX);
    (instances / components.max(1)).max(1)
}

impl Worker {
    /// Creates an instance and runs it until it ends.
    async fn run(self: Arc<Self>, mut slot: InstanceSlot) {
        let (mut store, handlers) = match self.instantiate(slot.deadline()).await {
            Ok(created) => created,
            Err(error) => return slot.failed(&error),
        };
        slot.created();
        let pool = slot.pool();
        let ended =
            event_loop::run(&pool, &mut slot, &mut store, &handlers, self.request_timeout).await;
        if let Err(error) = ended
            && !pool.is_closed()
        {
            let (component, error) = (self.guest.id(), format!("{error:#}"));
            tracing::error!(component, error, "an HTTP instance failed");
        }
    }

    async fn instantiate(
        &self,
        deadline: Instant,
    ) -> wasmtime::Result<(Store<GuestState>, Handlers)> {
        let mut store = self.guest.store();
        let instantiated = self.handlers.instantiate(&mut store);
        match tokio::time::timeout_at(deadline, instantiated).await {
            Ok(handlers) => Ok((store, handlers?)),
            Err(_) => {
                let limit = self.request_timeout;
                Err(wasmtime::Error::msg(format!("it was not ready within {limit:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn the_components_share_the_instances_of_the_process() {
        assert_eq!(share(1_000, 1, 1), 1_000);
        assert_eq!(share(1_000, 4, 1), 250);
        assert_eq!(share(1_000, 4, 5), 50, "each memory counts");
        assert_eq!(share(1_000, 1, 0), 1_000);
        assert_eq!(share(1, 4, 2), 1, "each can have one");
    }
}
