//! `spin:postgres`, in the versions that Spin provides: PostgreSQL with one pool of connections for
//! each database.

#![expect(
    clippy::result_large_err,
    reason = "the error of the interface has all fields of the server's error"
)]

mod address;
mod bindings;
mod error;
mod host;
mod older;
mod pools;
mod rows;
mod session;
mod value;

use std::any::Any;
use std::sync::Arc;

use component_host::{Capability, GuestState};
use wasmtime::component::{HasData, Linker};

use bindings::{v2, v2_types, v3, v4};
use pools::Pools;

use crate::StoresConfig;

/// The interfaces. Version 4.2 satisfies imports of 4.0 and 4.1.
const INTERFACES: [&str; 5] = [
    "spin:postgres/postgres@4.2.0",
    "spin:postgres/postgres@4.1.0",
    "spin:postgres/postgres@4.0.0",
    "spin:postgres/postgres@3.0.0",
    "fermyon:spin/postgres@2.0.0",
];

/// PostgreSQL, for components that import it.
pub struct PostgresProvider {
    pools: Arc<Pools>,
}

impl PostgresProvider {
    /// With these limits.
    pub fn new(config: &StoresConfig) -> Self {
        Self { pools: Arc::new(Pools::new(config)) }
    }
}

impl Capability for PostgresProvider {
    fn interfaces(&self) -> &[&str] {
        &INTERFACES
    }

    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        v4::add_to_linker::<_, Postgres>(linker, |state| state)?;
        v3::add_to_linker::<_, Postgres>(linker, |state| state)?;
        v2_types::add_to_linker::<_, Postgres>(linker, |state| state)?;
        v2::add_to_linker::<_, Postgres>(linker, |state| state)
    }

    fn shared(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(self.pools.clone())
    }
}

/// The implementation of the interfaces.
struct Postgres;

impl HasData for Postgres {
    type Data<'a> = &'a mut GuestState;
}
