//! Version 3 of the interface.

use std::sync::Arc;

use component_host::GuestState;
use valkey_client::Client;
use wasmtime::component::{Accessor, Resource};

use super::Redis;
use super::bindings::v3::{
    Error, Host, HostConnection, HostConnectionWithStore, RedisParameter, RedisResult,
};
use super::commands::{call, execute, number, on_key, payload, texts};
use super::connection::Connection;

/// Fails if there is no server at the address, as in Spin.
pub(super) async fn check(connection: &Connection) -> Result<(), Error> {
    call(&connection.0, &[b"PING"]).await.map(drop)
}

/// Gives a connection to a component.
pub(super) fn push(
    state: &mut GuestState,
    connection: Connection,
) -> Result<Resource<Connection>, Error> {
    state.table().push(connection).map_err(|error| Error::Other(error.to_string()))
}

/// The client of a resource.
pub(super) fn client(
    state: &mut GuestState,
    connection: &Resource<Connection>,
) -> Result<Arc<Client>, Error> {
    let connection = state.table().get(connection);
    Ok(connection.map_err(|error| Error::Other(error.to_string()))?.0.clone())
}

/// Drops the resource.
pub(super) fn close(
    state: &mut GuestState,
    connection: Resource<Connection>,
) -> wasmtime::Result<()> {
    state.table().delete(connection)?;
    Ok(())
}

fn concurrent(
    accessor: &Accessor<GuestState, Redis>,
    connection: &Resource<Connection>,
) -> Result<Arc<Client>, Error> {
    accessor.with(|mut access| client(access.get(), connection))
}

impl Host for &mut GuestState {}

impl HostConnection for &mut GuestState {
    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        close(self, connection)
    }
}

impl HostConnectionWithStore<GuestState> for Redis {
    async fn open(
        accessor: &Accessor<GuestState, Self>,
        address: String,
    ) -> Result<Resource<Connection>, Error> {
        let connection = accessor.with(|mut access| Connection::new(access.get(), address))?;
        check(&connection).await?;
        accessor.with(|mut access| push(access.get(), connection))
    }

    async fn publish(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<(), Error> {
        let client = concurrent(accessor, &connection)?;
        on_key(&client, "PUBLISH", &channel, &[payload]).await.map(drop)
    }

    async fn get(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        let client = concurrent(accessor, &connection)?;
        payload(call(&client, &[b"GET", key.as_bytes()]).await?)
    }

    async fn set(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        let client = concurrent(accessor, &connection)?;
        on_key(&client, "SET", &key, &[value]).await.map(drop)
    }

    async fn incr(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<i64, Error> {
        let client = concurrent(accessor, &connection)?;
        number(call(&client, &[b"INCR", key.as_bytes()]).await?)
    }

    async fn del(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        keys: Vec<String>,
    ) -> Result<u32, Error> {
        let client = concurrent(accessor, &connection)?;
        let mut words: Vec<&[u8]> = vec![b"DEL"];
        words.extend(keys.iter().map(String::as_bytes));
        number(call(&client, &words).await?)
    }

    async fn sadd(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, Error> {
        let client = concurrent(accessor, &connection)?;
        number(on_key(&client, "SADD", &key, &values).await?)
    }

    async fn smembers(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Vec<String>, Error> {
        let client = concurrent(accessor, &connection)?;
        texts(call(&client, &[b"SMEMBERS", key.as_bytes()]).await?)
    }

    async fn srem(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, Error> {
        let client = concurrent(accessor, &connection)?;
        number(on_key(&client, "SREM", &key, &values).await?)
    }

    async fn execute(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<RedisResult>, Error> {
        let client = concurrent(accessor, &connection)?;
        execute(&client, &command, arguments).await
    }
}
