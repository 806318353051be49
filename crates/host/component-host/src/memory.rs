//! The limit of an instance's memory, which records whether it was reached.

use wasmtime::{ResourceLimiter, StoreLimits, StoreLimitsBuilder};

/// Refuses growth beyond the limit and records that it did.
pub(crate) struct MemoryCap {
    limits: StoreLimits,
    hit: bool,
}

impl MemoryCap {
    pub fn new(bytes_max: usize) -> Self {
        Self { limits: StoreLimitsBuilder::new().memory_size(bytes_max).build(), hit: false }
    }

    /// Whether the guest ever requested more memory than the limit.
    pub fn was_hit(&self) -> bool {
        self.hit
    }
}

impl ResourceLimiter for MemoryCap {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grows = self.limits.memory_growing(current, desired, maximum)?;
        self.hit |= !grows;
        Ok(grows)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }
}
