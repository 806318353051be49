//! The configuration, which is read at the first batch of an instance.

use std::cell::OnceCell;

use background_tasks::{Keys, WORKER_VARIABLES, WorkerConfig};
use guest_http::value;
use guest_task_store::Store;
use spin_kafka_sdk::{Failure, OrFail as _};

thread_local! {
    static WORKER: OnceCell<&'static Worker> = const { OnceCell::new() };
}

/// What tasks are handled with.
pub struct Worker {
    pub config: WorkerConfig,
    pub keys: Keys,
    pub store: Store,
}

/// The configuration that the variables describe. One that is not valid stops the trigger.
pub async fn worker() -> Result<&'static Worker, Failure> {
    if let Some(worker) = WORKER.with(|own| own.get().copied()) {
        return Ok(worker);
    }
    let mut values: [String; WORKER_VARIABLES.len()] = Default::default();
    for (own, name) in values.iter_mut().zip(WORKER_VARIABLES) {
        // A provider of variables may be unavailable for a while.
        *own = value(name).await.or_retry()?;
    }
    let config = WorkerConfig::new(&values).or_fatal()?;
    let store = Store::new(&config.store).or_fatal()?;
    let worker = Worker { keys: Keys::new(&config.store.secret), store, config };
    // Once for each instance, which handles one batch at a time.
    Ok(WORKER.with(|own| *own.get_or_init(|| Box::leak(Box::new(worker)))))
}
