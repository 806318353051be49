//! `spin:redis`, in the versions that Spin provides: Redis and Valkey, with one connection for each
//! component and address.

mod bindings;
mod commands;
mod connection;
mod host;
mod older;

use std::any::Any;
use std::sync::Arc;

use component_host::{Capability, GuestState};
use wasmtime::component::{HasData, Linker};

use bindings::{v2, v3};
use connection::RedisClients;

/// The interfaces.
const INTERFACES: [&str; 2] = ["spin:redis/redis@3.0.0", "fermyon:spin/redis@2.0.0"];

/// Redis, for components that import it.
#[derive(Default)]
pub struct RedisProvider {
    clients: Arc<RedisClients>,
}

impl Capability for RedisProvider {
    fn interfaces(&self) -> &[&str] {
        &INTERFACES
    }

    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        v3::add_to_linker::<_, Redis>(linker, |state| state)?;
        v2::add_to_linker::<_, Redis>(linker, |state| state)
    }

    fn shared(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(self.clients.clone())
    }
}

/// The implementation of the interfaces.
struct Redis;

impl HasData for Redis {
    type Data<'a> = &'a mut GuestState;
}
