//! `spin:key-value` and `wasi:keyvalue`, in the versions that Spin provides, on Valkey.

mod bindings;
mod host;
mod keys;
mod older;
mod store;
mod stores;
mod wasi;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use component_host::{Capability, GuestState, Importer};
use wasmtime::component::{HasData, Linker};

use bindings::{atomics, batch, v2, v3, wasi_store};
use stores::Stores;

/// The interfaces.
const INTERFACES: [&str; 5] = [
    "spin:key-value/key-value@3.0.0",
    "fermyon:spin/key-value@2.0.0",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
];

/// Key-value stores, for components that import them.
pub struct KeyValueProvider {
    stores: Arc<Stores>,
}

impl KeyValueProvider {
    /// With the URL of the server of each label; an error says why a label cannot be used.
    pub fn new(configured: BTreeMap<String, Result<String, String>>) -> Self {
        Self { stores: Arc::new(Stores::new(configured)) }
    }
}

impl Capability for KeyValueProvider {
    fn interfaces(&self) -> &[&str] {
        &INTERFACES
    }

    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        v3::add_to_linker::<_, KeyValue>(linker, |state| state)?;
        v2::add_to_linker::<_, KeyValue>(linker, |state| state)?;
        wasi_store::add_to_linker::<_, KeyValue>(linker, |state| state)?;
        atomics::add_to_linker::<_, KeyValue>(linker, |state| state)?;
        batch::add_to_linker::<_, KeyValue>(linker, |state| state)
    }

    fn check(&self, importer: &Importer<'_>) -> Result<(), String> {
        for label in importer.key_value_stores {
            self.stores.check(label, importer.variables)?;
        }
        Ok(())
    }

    fn shared(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(self.stores.clone())
    }
}

/// The implementation of the interfaces.
struct KeyValue;

impl HasData for KeyValue {
    type Data<'a> = &'a mut GuestState;
}
