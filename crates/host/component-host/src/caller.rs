//! What calls components outside the host.

use crate::Guest;

/// The handler of a trigger, which calls a component and can be given another build of it at run time.
pub trait Caller: Send + Sync {
    /// The component's id.
    fn component(&self) -> String;

    /// Checks whether this build can replace the one that is called. Nothing changes until the result is
    /// called; then new calls use the build, and calls in progress finish on the old one.
    fn prepare(
        &self,
        guest: Guest,
    ) -> Result<Replacement, Box<dyn std::error::Error + Send + Sync>>;
}

/// Uses a build that was checked.
pub type Replacement = Box<dyn FnOnce()>;
