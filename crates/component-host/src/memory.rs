//! The cap on an instance's memory, and whether it was hit.

use wasmtime::{ResourceLimiter, StoreLimits, StoreLimitsBuilder};

/// Refuses growth beyond the cap and remembers that it did.
pub(crate) struct MemoryCap {
    limits: StoreLimits,
    hit: bool,
}

impl MemoryCap {
    pub fn new(bytes_max: usize) -> Self {
        Self { limits: StoreLimitsBuilder::new().memory_size(bytes_max).build(), hit: false }
    }

    /// Whether the guest ever wanted more than it may have.
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
