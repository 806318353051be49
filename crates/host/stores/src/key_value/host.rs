//! Version 3 of `spin:key-value`.

use component_host::GuestState;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::KeyValue;
use super::bindings::v3::{Error, Host, HostStore, HostStoreWithStore};
use super::keys::Keys;
use super::store::Store;
use super::stores::Stores;
use crate::stream::stream;

/// Opens a store for a component.
pub(super) fn open(state: &mut GuestState, label: &str) -> Result<Resource<Store>, Error> {
    let store = Stores::open(state, label)?;
    state.table().push(store).map_err(|_| Error::StoreTableFull)
}

/// The store of a resource.
pub(super) fn store(state: &mut GuestState, store: &Resource<Store>) -> Result<Store, Error> {
    state.table().get(store).cloned().map_err(|_| Error::NoSuchStore)
}

/// Drops the resource.
pub(super) fn close(state: &mut GuestState, store: Resource<Store>) -> wasmtime::Result<()> {
    state.table().delete(store)?;
    Ok(())
}

fn concurrent(
    accessor: &Accessor<GuestState, KeyValue>,
    resource: &Resource<Store>,
) -> Result<Store, Error> {
    accessor.with(|mut access| store(access.get(), resource))
}

impl Host for &mut GuestState {}

impl HostStore for &mut GuestState {
    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        close(self, store)
    }
}

impl HostStoreWithStore<GuestState> for KeyValue {
    async fn open(
        accessor: &Accessor<GuestState, Self>,
        label: String,
    ) -> Result<Resource<Store>, Error> {
        accessor.with(|mut access| open(access.get(), &label))
    }

    async fn get(
        accessor: &Accessor<GuestState, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        concurrent(accessor, &store)?.get(&key).await
    }

    async fn set(
        accessor: &Accessor<GuestState, Self>,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        concurrent(accessor, &store)?.set(&key, &value).await
    }

    async fn delete(
        accessor: &Accessor<GuestState, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<(), Error> {
        concurrent(accessor, &store)?.delete(&key).await
    }

    async fn exists(
        accessor: &Accessor<GuestState, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<bool, Error> {
        concurrent(accessor, &store)?.exists(&key).await
    }

    async fn get_keys(
        accessor: &Accessor<GuestState, Self>,
        store: Resource<Store>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let store = concurrent(accessor, &store).map_err(wasmtime::Error::msg)?;
        let (producer, result) = stream(Keys::new(store));
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, producer)?;
            Ok((keys, FutureReader::new(&mut access, result)?))
        })
    }
}
