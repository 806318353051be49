//! Version 4 of the interface.

use std::sync::Arc;

use component_host::GuestState;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::Postgres;
use super::address;
use super::bindings::v4::{
    Column, Error, Host, HostConnection, HostConnectionBuilder, HostConnectionBuilderWithStore,
    HostConnectionWithStore, ParameterValue, Row, RowSet,
};
use super::pools::{Pools, certificate};
use super::session::{Connection, Session};
use crate::limits::ADDRESS_BYTES_MAX;
use crate::stream::stream;

/// An address and its options, before a connection is opened.
#[derive(Clone)]
pub struct Builder {
    address: String,
    /// The certificate of an authority, as PEM.
    authority: Option<String>,
}

/// What is needed to open a connection for a component.
struct Opening {
    pools: Arc<Pools>,
    component: Arc<str>,
    /// The certificate of an authority, as PEM.
    authority: Option<String>,
    config: tokio_postgres::Config,
}

impl Opening {
    /// Checks whether the component may connect to the address.
    fn check(state: &GuestState, builder: Builder) -> Result<Self, Error> {
        let config = address::parse(&builder.address, state.allowed_hosts());
        let config = config.inspect_err(|error| {
            tracing::warn!(component = &**state.component(), %error, "PostgreSQL: no connection");
        })?;
        let component = state.component().clone();
        let pools = state.shared::<Pools>();
        let pools = pools.ok_or_else(|| Error::Other("PostgreSQL is not available".into()))?;
        Ok(Self { pools, component, authority: builder.authority, config })
    }

    async fn open(self) -> Result<Connection, Error> {
        let Self { pools, component, authority, config } = self;
        let session = pools.open(&component, authority, config).await?;
        Ok(Connection(Arc::new(session)))
    }
}

/// Opens a connection for a component.
pub(super) async fn open(
    state: &mut GuestState,
    address: String,
) -> Result<Resource<Connection>, Error> {
    let builder = Builder { address, authority: None };
    let connection = Opening::check(state, builder)?.open().await?;
    push(state, connection)
}

/// The connection of a resource.
pub(super) fn session(
    state: &mut GuestState,
    connection: &Resource<Connection>,
) -> Result<Arc<Session>, Error> {
    Ok(state.table().get(connection).map_err(other)?.0.clone())
}

/// Drops the resource.
pub(super) fn close(
    state: &mut GuestState,
    connection: Resource<Connection>,
) -> wasmtime::Result<()> {
    state.table().delete(connection)?;
    Ok(())
}

fn push<T: Send + 'static>(state: &mut GuestState, resource: T) -> Result<Resource<T>, Error> {
    state.table().push(resource).map_err(other)
}

fn other(error: impl std::fmt::Display) -> Error {
    Error::Other(error.to_string())
}

impl Host for &mut GuestState {}

impl HostConnection for &mut GuestState {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, Error> {
        open(self, address).await
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<RowSet, Error> {
        session(self, &connection)?.query(&statement, parameters).await
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        session(self, &connection)?.execute(&statement, parameters).await
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        close(self, connection)
    }
}

impl HostConnectionWithStore<GuestState> for Postgres {
    async fn open_async(
        accessor: &Accessor<GuestState, Self>,
        address: String,
    ) -> Result<Resource<Connection>, Error> {
        open_concurrently(accessor, Builder { address, authority: None }).await
    }

    async fn query_async(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<(Vec<Column>, StreamReader<Row>, FutureReader<Result<(), Error>>), Error> {
        let session = accessor.with(|mut access| session(access.get(), &connection))?;
        let (columns, rows) = session.stream(&statement, parameters).await?;
        let (producer, result) = stream(rows);
        let readers = accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, producer)?;
            wasmtime::error::Ok((rows, FutureReader::new(&mut access, result)?))
        });
        let (rows, result) = readers.map_err(other)?;
        Ok((columns, rows, result))
    }

    async fn execute_async(
        accessor: &Accessor<GuestState, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        let session = accessor.with(|mut access| session(access.get(), &connection))?;
        session.execute(&statement, parameters).await
    }
}

async fn open_concurrently(
    accessor: &Accessor<GuestState, Postgres>,
    builder: Builder,
) -> Result<Resource<Connection>, Error> {
    let opening = accessor.with(|mut access| Opening::check(access.get(), builder))?;
    let connection = opening.open().await?;
    accessor.with(|mut access| push(access.get(), connection))
}

impl HostConnectionBuilder for &mut GuestState {
    async fn new(&mut self, mut address: String) -> wasmtime::Result<Resource<Builder>> {
        // This function cannot return an error. `build` refuses what is left of an address that is
        // too long.
        address.truncate(address.ceil_char_boundary(ADDRESS_BYTES_MAX + 1));
        address.shrink_to_fit();
        Ok(self.table().push(Builder { address, authority: None })?)
    }

    async fn set_ca_root(
        &mut self,
        builder: Resource<Builder>,
        certificate_text: String,
    ) -> Result<(), Error> {
        if certificate_text.len() > ADDRESS_BYTES_MAX {
            return Err(other(format!("the certificate has more than {ADDRESS_BYTES_MAX} bytes")));
        }
        certificate(&certificate_text)?;
        self.table().get_mut(&builder).map_err(other)?.authority = Some(certificate_text);
        Ok(())
    }

    async fn build(&mut self, builder: Resource<Builder>) -> Result<Resource<Connection>, Error> {
        let builder = self.table().get(&builder).map_err(other)?.clone();
        let connection = Opening::check(self, builder)?.open().await?;
        push(self, connection)
    }

    async fn drop(&mut self, builder: Resource<Builder>) -> wasmtime::Result<()> {
        self.table().delete(builder)?;
        Ok(())
    }
}

impl HostConnectionBuilderWithStore<GuestState> for Postgres {
    async fn build_async(
        accessor: &Accessor<GuestState, Self>,
        builder: Resource<Builder>,
    ) -> Result<Resource<Connection>, Error> {
        let builder = accessor
            .with(|mut access| access.get().table().get(&builder).map_err(other).cloned())?;
        open_concurrently(accessor, builder).await
    }
}
