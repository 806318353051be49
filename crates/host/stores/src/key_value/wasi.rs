//! The draft of `wasi:keyvalue`.

use component_host::GuestState;
use wasmtime::component::Resource;

use super::bindings::atomics::{self, CasError};
use super::bindings::wasi_store::{Error, KeyResponse};
use super::bindings::{batch, v3, wasi_store};
use super::host::{close, open, store};
use super::store::{FIRST, Store, Version};

/// A value that may be replaced if it has not changed since it was read.
#[derive(Clone)]
pub struct Cas {
    store: Store,
    key: String,
    version: Version,
}

impl From<v3::Error> for Error {
    fn from(error: v3::Error) -> Self {
        match error {
            v3::Error::NoSuchStore => Self::NoSuchStore,
            v3::Error::AccessDenied => Self::AccessDenied,
            v3::Error::StoreTableFull => Self::Other("too many stores are open".into()),
            v3::Error::Other(text) => Self::Other(text),
        }
    }
}

fn other(error: impl std::fmt::Display) -> Error {
    Error::Other(error.to_string())
}

impl wasi_store::Host for &mut GuestState {
    async fn open(&mut self, label: String) -> Result<Resource<Store>, Error> {
        Ok(open(self, &label)?)
    }
}

impl wasi_store::HostBucket for &mut GuestState {
    async fn get(
        &mut self,
        bucket: Resource<Store>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        Ok(store(self, &bucket)?.get(&key).await?)
    }

    async fn set(
        &mut self,
        bucket: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        Ok(store(self, &bucket)?.set(&key, &value).await?)
    }

    async fn delete(&mut self, bucket: Resource<Store>, key: String) -> Result<(), Error> {
        Ok(store(self, &bucket)?.delete(&key).await?)
    }

    async fn exists(&mut self, bucket: Resource<Store>, key: String) -> Result<bool, Error> {
        Ok(store(self, &bucket)?.exists(&key).await?)
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Store>,
        cursor: Option<String>,
    ) -> Result<KeyResponse, Error> {
        let page = store(self, &bucket)?.page(cursor.as_deref().unwrap_or(FIRST)).await?;
        Ok(KeyResponse { keys: page.keys, cursor: page.cursor })
    }

    async fn drop(&mut self, bucket: Resource<Store>) -> wasmtime::Result<()> {
        close(self, bucket)
    }
}

impl batch::Host for &mut GuestState {
    async fn get_many(
        &mut self,
        bucket: Resource<Store>,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, Error> {
        let values = store(self, &bucket)?.get_many(&keys).await?;
        Ok(keys.into_iter().zip(values).collect())
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Store>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Error> {
        Ok(store(self, &bucket)?.set_many(&pairs).await?)
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<Store>,
        keys: Vec<String>,
    ) -> Result<(), Error> {
        Ok(store(self, &bucket)?.delete_many(&keys).await?)
    }
}

impl atomics::Host for &mut GuestState {
    async fn increment(
        &mut self,
        bucket: Resource<Store>,
        key: String,
        delta: i64,
    ) -> Result<i64, Error> {
        Ok(store(self, &bucket)?.increment(&key, delta).await?)
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<(), CasError> {
        let failed = |error: Error| CasError::StoreError(error);
        let mut cas = self.table().delete(cas).map_err(other).map_err(failed)?;
        let swapped = cas.store.swap(&cas.key, &cas.version, &value).await;
        if swapped.map_err(|error| failed(error.into()))? {
            return Ok(());
        }
        let present = cas.store.get_version(&cas.key).await;
        cas.version = present.map_err(|error| failed(error.into()))?.1;
        let cas = self.table().push(cas).map_err(other).map_err(failed)?;
        Err(CasError::CasFailed(cas))
    }
}

impl atomics::HostCas for &mut GuestState {
    async fn new(&mut self, bucket: Resource<Store>, key: String) -> Result<Resource<Cas>, Error> {
        let store = store(self, &bucket)?;
        let version = store.get_version(&key).await?.1;
        self.table().push(Cas { store, key, version }).map_err(other)
    }

    async fn current(&mut self, resource: Resource<Cas>) -> Result<Option<Vec<u8>>, Error> {
        let cas = self.table().get(&resource).map_err(other)?.clone();
        let (value, version) = cas.store.get_version(&cas.key).await?;
        self.table().get_mut(&resource).map_err(other)?.version = version;
        Ok(value)
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table().delete(cas)?;
        Ok(())
    }
}
