//! Version 2 of Spin's interface, by means of version 3.

use component_host::GuestState;
use wasmtime::component::Resource;

use super::bindings::{v2, v3};
use super::host::{close, open, store};
use super::keys;
use super::store::Store;

impl From<v3::Error> for v2::Error {
    fn from(error: v3::Error) -> Self {
        match error {
            v3::Error::StoreTableFull => Self::StoreTableFull,
            v3::Error::NoSuchStore => Self::NoSuchStore,
            v3::Error::AccessDenied => Self::AccessDenied,
            v3::Error::Other(text) => Self::Other(text),
        }
    }
}

impl v2::Host for &mut GuestState {}

impl v2::HostStore for &mut GuestState {
    async fn open(&mut self, label: String) -> Result<Resource<Store>, v2::Error> {
        Ok(open(self, &label)?)
    }

    async fn get(
        &mut self,
        resource: Resource<Store>,
        key: String,
    ) -> Result<Option<Vec<u8>>, v2::Error> {
        Ok(store(self, &resource)?.get(&key).await?)
    }

    async fn set(
        &mut self,
        resource: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), v2::Error> {
        Ok(store(self, &resource)?.set(&key, &value).await?)
    }

    async fn delete(&mut self, resource: Resource<Store>, key: String) -> Result<(), v2::Error> {
        Ok(store(self, &resource)?.delete(&key).await?)
    }

    async fn exists(&mut self, resource: Resource<Store>, key: String) -> Result<bool, v2::Error> {
        Ok(store(self, &resource)?.exists(&key).await?)
    }

    async fn get_keys(&mut self, resource: Resource<Store>) -> Result<Vec<String>, v2::Error> {
        Ok(keys::all(&store(self, &resource)?).await?)
    }

    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        close(self, store)
    }
}
