//! The wasmtime engine: its features, the pooled memory, and the clock that interrupts guests.

use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::{CompileCache, Error, Limits};

/// How often a running guest yields to the host. A deadline may be exceeded by this time.
const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Core instances, memories and tables for each component instance in the pool: sufficient for a
/// composition of four with their adapters.
const CORE_PER_INSTANCE: u32 = 4;

/// Bytes of a freed memory that remain resident, so that the next instance causes fewer page
/// faults.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// Builds an engine within `limits` and starts its epoch clock.
pub fn build(limits: &Limits, cache: &CompileCache) -> Result<Engine, Error> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(limits.instances_max)
        .total_core_instances(limits.instances_max.saturating_mul(CORE_PER_INSTANCE))
        .total_memories(limits.instances_max)
        .total_tables(limits.instances_max.saturating_mul(CORE_PER_INSTANCE))
        .total_stacks(limits.instances_max.saturating_mul(CORE_PER_INSTANCE))
        .total_gc_heaps(0)
        .max_core_instances_per_component(64)
        .max_memories_per_component(16)
        .max_tables_per_component(32)
        .table_elements(50_000)
        .max_memory_size(limits.instance_memory_bytes_max)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES);

    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .cache(cache.open()?)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    // wasmtime creates an error for each fiber that it retires, and with `RUST_BACKTRACE` set it
    // would spend a tenth of its time on backtraces that are never used. The backtraces of guests
    // are not affected.
    wasmtime::error::disable_backtrace();
    let engine = Engine::new(&config).map_err(|e| Error::Engine(format!("{e:#}")))?;
    start_clock(&engine)?;
    Ok(engine)
}

/// Increments the engine's epoch in intervals until the engine is dropped.
fn start_clock(engine: &Engine) -> Result<(), Error> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(EPOCH_TICK);
            }
        })
        .map(drop)
        .map_err(|e| Error::Engine(format!("cannot start the thread of the epoch clock: {e}")))
}
