//! Version 2 of the interface, by means of version 3.

use component_host::GuestState;
use wasmtime::component::Resource;

use super::bindings::{v2, v3};
use super::commands::{call, execute, number, on_key, payload, texts};
use super::connection::Connection;
use super::host::{check, client, close, push};

impl From<v3::Error> for v2::Error {
    fn from(error: v3::Error) -> Self {
        match error {
            v3::Error::InvalidAddress => Self::InvalidAddress,
            v3::Error::TooManyConnections => Self::TooManyConnections,
            v3::Error::TypeError => Self::TypeError,
            v3::Error::Other(text) => Self::Other(text),
        }
    }
}

impl v2::Host for &mut GuestState {}

impl v2::HostConnection for &mut GuestState {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, v2::Error> {
        let connection = Connection::new(self, address)?;
        check(&connection).await?;
        Ok(push(self, connection)?)
    }

    async fn publish(
        &mut self,
        connection: Resource<Connection>,
        channel: String,
        payload: Vec<u8>,
    ) -> Result<(), v2::Error> {
        let client = client(self, &connection)?;
        on_key(&client, "PUBLISH", &channel, &[payload]).await?;
        Ok(())
    }

    async fn get(
        &mut self,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Option<Vec<u8>>, v2::Error> {
        let client = client(self, &connection)?;
        Ok(payload(call(&client, &[b"GET", key.as_bytes()]).await?)?)
    }

    async fn set(
        &mut self,
        connection: Resource<Connection>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), v2::Error> {
        let client = client(self, &connection)?;
        on_key(&client, "SET", &key, &[value]).await?;
        Ok(())
    }

    async fn incr(
        &mut self,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<i64, v2::Error> {
        let client = client(self, &connection)?;
        Ok(number(call(&client, &[b"INCR", key.as_bytes()]).await?)?)
    }

    async fn del(
        &mut self,
        connection: Resource<Connection>,
        keys: Vec<String>,
    ) -> Result<u32, v2::Error> {
        let client = client(self, &connection)?;
        let mut words: Vec<&[u8]> = vec![b"DEL"];
        words.extend(keys.iter().map(String::as_bytes));
        Ok(number(call(&client, &words).await?)?)
    }

    async fn sadd(
        &mut self,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, v2::Error> {
        let client = client(self, &connection)?;
        Ok(number(on_key(&client, "SADD", &key, &values).await?)?)
    }

    async fn smembers(
        &mut self,
        connection: Resource<Connection>,
        key: String,
    ) -> Result<Vec<String>, v2::Error> {
        let client = client(self, &connection)?;
        Ok(texts(call(&client, &[b"SMEMBERS", key.as_bytes()]).await?)?)
    }

    async fn srem(
        &mut self,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Result<u32, v2::Error> {
        let client = client(self, &connection)?;
        Ok(number(on_key(&client, "SREM", &key, &values).await?)?)
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<v2::RedisParameter>,
    ) -> Result<Vec<v2::RedisResult>, v2::Error> {
        let client = client(self, &connection)?;
        let arguments = arguments.into_iter().map(|argument| match argument {
            v2::RedisParameter::Int64(number) => v3::RedisParameter::Int64(number),
            v2::RedisParameter::Binary(bytes) => v3::RedisParameter::Binary(bytes),
        });
        let results = execute(&client, &command, arguments.collect()).await?;
        let results = results.into_iter().map(|result| match result {
            v3::RedisResult::Nil => v2::RedisResult::Nil,
            v3::RedisResult::Status(text) => v2::RedisResult::Status(text),
            v3::RedisResult::Int64(number) => v2::RedisResult::Int64(number),
            v3::RedisResult::Binary(bytes) => v2::RedisResult::Binary(bytes),
        });
        Ok(results.collect())
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        close(self, connection)
    }
}
