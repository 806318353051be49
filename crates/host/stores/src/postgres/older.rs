//! Versions 2 and 3 of the interface, by means of version 4.

use component_host::GuestState;
use wasmtime::component::Resource;

use super::bindings::{v2, v2_types, v3, v4};
use super::host::{close, open, session};
use super::session::Connection;

impl v3::Host for &mut GuestState {}

impl v3::HostConnection for &mut GuestState {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, v3::Error> {
        Ok(open(self, address).await?)
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<v3::ParameterValue>,
    ) -> Result<v3::RowSet, v3::Error> {
        let parameters = parameters.into_iter().map(Into::into).collect();
        Ok(session(self, &connection)?.query(&statement, parameters).await?.into())
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<v3::ParameterValue>,
    ) -> Result<u64, v3::Error> {
        let parameters = parameters.into_iter().map(Into::into).collect();
        Ok(session(self, &connection)?.execute(&statement, parameters).await?)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        close(self, connection)
    }
}

impl v2_types::Host for &mut GuestState {}

impl v2::Host for &mut GuestState {}

impl v2::HostConnection for &mut GuestState {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, v2::Error> {
        Ok(open(self, address).await?)
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<v2::ParameterValue>,
    ) -> Result<v2::RowSet, v2::Error> {
        let parameters = signed(parameters)?;
        Ok(session(self, &connection)?.query(&statement, parameters).await?.into())
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<v2::ParameterValue>,
    ) -> Result<u64, v2::Error> {
        let parameters = signed(parameters)?;
        Ok(session(self, &connection)?.execute(&statement, parameters).await?)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        close(self, connection)
    }
}

/// PostgreSQL has no unsigned integers.
fn signed(parameters: Vec<v2::ParameterValue>) -> Result<Vec<v4::ParameterValue>, v2::Error> {
    type Old = v2::ParameterValue;
    let converted = parameters.into_iter().map(|value| {
        Ok(match value {
            Old::Boolean(v) => v4::ParameterValue::Boolean(v),
            Old::Int8(v) => v4::ParameterValue::Int8(v),
            Old::Int16(v) => v4::ParameterValue::Int16(v),
            Old::Int32(v) => v4::ParameterValue::Int32(v),
            Old::Int64(v) => v4::ParameterValue::Int64(v),
            Old::Floating32(v) => v4::ParameterValue::Floating32(v),
            Old::Floating64(v) => v4::ParameterValue::Floating64(v),
            Old::Str(v) => v4::ParameterValue::Str(v),
            Old::Binary(v) => v4::ParameterValue::Binary(v),
            Old::DbNull => v4::ParameterValue::DbNull,
            Old::Uint8(_) | Old::Uint16(_) | Old::Uint32(_) | Old::Uint64(_) => {
                let message = "PostgreSQL has no unsigned integers";
                return Err(v2::Error::ValueConversionFailed(message.into()));
            }
        })
    });
    converted.collect()
}

impl From<v3::ParameterValue> for v4::ParameterValue {
    fn from(value: v3::ParameterValue) -> Self {
        type Old = v3::ParameterValue;
        match value {
            Old::Boolean(v) => Self::Boolean(v),
            Old::Int8(v) => Self::Int8(v),
            Old::Int16(v) => Self::Int16(v),
            Old::Int32(v) => Self::Int32(v),
            Old::Int64(v) => Self::Int64(v),
            Old::Floating32(v) => Self::Floating32(v),
            Old::Floating64(v) => Self::Floating64(v),
            Old::Str(v) => Self::Str(v),
            Old::Binary(v) => Self::Binary(v),
            Old::Date(v) => Self::Date(v),
            Old::Time(v) => Self::Time(v),
            Old::Datetime(v) => Self::Datetime(v),
            Old::Timestamp(v) => Self::Timestamp(v),
            Old::DbNull => Self::DbNull,
        }
    }
}

/// Defines how a result of version 4 becomes one of an older version that has these types. Values
/// of the other types are `unsupported`.
macro_rules! convert_results {
    ($old:ident, $($case:ident),*) => {
        impl From<v4::Error> for $old::Error {
            fn from(error: v4::Error) -> Self {
                match error {
                    v4::Error::ConnectionFailed(text) => Self::ConnectionFailed(text),
                    v4::Error::BadParameter(text) => Self::BadParameter(text),
                    v4::Error::QueryFailed(v4::QueryError::Text(text)) => Self::QueryFailed(text),
                    v4::Error::QueryFailed(v4::QueryError::DbError(error)) => {
                        Self::QueryFailed(error.as_text)
                    }
                    v4::Error::ValueConversionFailed(text) => Self::ValueConversionFailed(text),
                    v4::Error::Other(text) => Self::Other(text),
                }
            }
        }

        impl From<v4::RowSet> for $old::RowSet {
            fn from(result: v4::RowSet) -> Self {
                let data_type = |data_type| match data_type {
                    $(v4::DbDataType::$case => $old::DbDataType::$case,)*
                    _ => $old::DbDataType::Other,
                };
                let value = |value| match value {
                    $(v4::DbValue::$case(value) => $old::DbValue::$case(value),)*
                    v4::DbValue::DbNull => $old::DbValue::DbNull,
                    _ => $old::DbValue::Unsupported,
                };
                let columns = result.columns.into_iter().map(|column| $old::Column {
                    name: column.name,
                    data_type: data_type(column.data_type),
                });
                let rows = result.rows.into_iter();
                let rows = rows.map(|row| row.into_iter().map(value).collect());
                Self { columns: columns.collect(), rows: rows.collect() }
            }
        }
    };
}

convert_results!(
    v3, Boolean, Int8, Int16, Int32, Int64, Floating32, Floating64, Str, Binary, Date, Time,
    Datetime, Timestamp
);
convert_results!(v2_types, Boolean, Int8, Int16, Int32, Int64, Floating32, Floating64, Str, Binary);
