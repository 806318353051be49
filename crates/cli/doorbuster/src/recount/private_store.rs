//! The store in which a component counts again.

use anyhow::{Context as _, Result, ensure};
use child_server::{Valkey, ValkeyConfig};
use redis::aio::MultiplexedConnection;
use valkey_codec::Servers;

const NO_VALKEY: &str = "no valkey-server or redis-server on the PATH, which is needed for the \
                         private store";

/// An empty store in which a component counts again.
pub struct PrivateStore {
    pub url: String,
    pub connection: MultiplexedConnection,
    /// The server, if this program started it.
    pub process: Option<Valkey>,
}

impl PrivateStore {
    /// Starts a server.
    pub async fn start() -> Result<Self> {
        let program = Valkey::on_path().context(NO_VALKEY)?;
        let valkey = Valkey::start(&program, ValkeyConfig::default()).await;
        let valkey = valkey.context("cannot start the private store")?;
        let (url, connection) = (valkey.url(), connect(&valkey.url()).await?);
        Ok(Self { url, connection, process: Some(valkey) })
    }

    /// Uses an existing server that has no other purpose, and deletes its content.
    pub async fn existing(url: &str, live: &mut MultiplexedConnection) -> Result<Self> {
        let mut connection = connect(url).await?;
        let (private, other) = (run_id(&mut connection).await?, run_id(live).await?);
        ensure!(private != other, "the private store is the application's Valkey");
        let () = redis::cmd("FLUSHALL").query_async(&mut connection).await?;
        Ok(Self { url: url.into(), connection, process: None })
    }
}

async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let connected = valkey_client::connect(&Servers::parse(url)?, "").await;
    Ok(connected.context("cannot connect to the private store")?.1)
}

/// Identifies a running server.
async fn run_id(store: &mut MultiplexedConnection) -> Result<String> {
    let info: String = redis::cmd("INFO").arg("server").query_async(store).await?;
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    Ok(id.context("Valkey does not report its run id")?.trim().into())
}
