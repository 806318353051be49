//! A loaded component that can be instantiated.

use std::sync::Arc;

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store};

use crate::Error;
use crate::state::{GuestState, StateTemplate};

/// A compiled and linked component with its permissions. Cheap to clone.
#[derive(Clone)]
pub struct Guest {
    pub(crate) id: Arc<str>,
    pub(crate) engine: Engine,
    pub(crate) pre: InstancePre<GuestState>,
    pub(crate) template: StateTemplate,
}

impl Guest {
    /// The component's id in the manifest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The linked component, to build typed bindings from.
    pub fn pre(&self) -> &InstancePre<GuestState> {
        &self.pre
    }

    /// Whether the component exports this interface.
    pub fn exports(&self, interface: &str) -> bool {
        self.pre.component().get_export_index(None, interface).is_some()
    }

    /// An empty store with the permissions and limits of the component.
    pub fn store(&self) -> Store<GuestState> {
        self.template.store(&self.engine)
    }

    /// Creates an instance in its own store. The error is [`Error::Full`] if the process has as many
    /// instances as it may have.
    pub async fn instantiate(&self) -> Result<(Store<GuestState>, Instance), Error> {
        let mut store = self.store();
        match self.pre.instantiate_async(&mut store).await {
            Ok(instance) => Ok((store, instance)),
            Err(e) if e.is::<PoolConcurrencyLimitError>() => {
                Err(Error::Full { component: self.id.to_string(), message: format!("{e:#}") })
            }
            Err(e) => Err(Error::Guest {
                component: self.id.to_string(),
                message: format!("cannot be instantiated: {e:#}"),
            }),
        }
    }
}
