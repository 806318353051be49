//! Valkey, its faults, and the network in front of it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use test_servers::{Valkey, ValkeyConfig, start_valkey};

use super::proxy::{LinkState, Proxy};
use crate::{Store, in_time};

/// A Valkey with an append-only file behind a proxy.
pub struct StoreHost {
    valkey: Valkey,
    config: ValkeyConfig,
    proxy: Proxy,
    /// The data folders of this server and of its predecessors.
    folders: Vec<TempDir>,
}

impl StoreHost {
    /// Starts an empty server.
    pub async fn start() -> Result<Self> {
        let (proxy, folder) = (Proxy::start().await?, TempDir::with_prefix("store-")?);
        let config = config(&folder);
        let valkey = start_valkey(config.clone()).await?;
        proxy.aim(vec![valkey.port()]);
        Ok(Self { valkey, config, proxy, folders: vec![folder] })
    }

    /// The URL for the pipeline: the proxy.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.proxy.port())
    }

    /// A connection without the proxy.
    pub async fn connect(&self) -> Result<Store> {
        Store::connect(&self.valkey.url()).await
    }

    /// The URL without the proxy.
    pub fn direct_url(&self) -> String {
        self.valkey.url()
    }

    /// Sets the state of the network in front of it.
    pub fn set(&self, state: LinkState) {
        self.proxy.set(state);
    }

    /// Pauses the server.
    pub fn pause(&self) -> Result<()> {
        self.valkey.pause()
    }

    /// Continues the server.
    pub fn resume(&self) -> Result<()> {
        self.valkey.resume()
    }

    /// Kills the server and starts it again with its append-only file.
    pub async fn crash(&mut self) -> Result<()> {
        self.valkey.kill().await?;
        self.come_back(self.config.clone()).await
    }

    /// Kills the server and starts it again without a file.
    pub async fn crash_without_file(&mut self) -> Result<()> {
        self.valkey.kill().await?;
        std::fs::remove_dir_all(self.folder()?.join("appendonlydir"))?;
        self.come_back(self.config.clone()).await
    }

    /// Saves a snapshot.
    pub async fn save(&self) -> Result<()> {
        self.connect().await?.command(&["SAVE"]).await
    }

    /// Kills the server and starts it again with the snapshot.
    pub async fn restore(&mut self) -> Result<()> {
        self.valkey.kill().await?;
        std::fs::remove_dir_all(self.folder()?.join("appendonlydir"))?;
        // With an append-only file configured, the server would not read the snapshot.
        self.come_back(ValkeyConfig { append_only: false, ..self.config.clone() }).await?;
        self.append().await
    }

    /// Deletes all keys.
    pub async fn flush(&self) -> Result<()> {
        self.connect().await?.flush().await
    }

    /// A replica that has everything up to now, and gets nothing afterwards.
    pub async fn late_replica(&self) -> Result<Replica> {
        let folder = TempDir::with_prefix("store-")?;
        let replica_of = Some(self.valkey.port());
        let config = ValkeyConfig { replica_of, append_only: false, ..config(&folder) };
        let valkey = start_valkey(config).await?;
        let store = Store::connect(&valkey.url()).await?;
        in_time("the replica has caught up", async || {
            store.info("replication").await.ok()?.contains("master_link_status:up").then_some(())
        })
        .await?;
        store.command(&["REPLICAOF", "NO", "ONE"]).await?;
        Ok(Replica { valkey, folder })
    }

    /// Kills the server and promotes the replica.
    pub async fn fail_over(&mut self, replica: Replica) -> Result<()> {
        self.valkey.kill().await?;
        let Replica { valkey, folder } = replica;
        self.config = ValkeyConfig { port: Some(valkey.port()), ..config(&folder) };
        self.valkey = valkey;
        self.folders.push(folder);
        self.append().await?;
        self.proxy.aim(vec![self.valkey.port()]);
        Ok(())
    }

    async fn come_back(&mut self, config: ValkeyConfig) -> Result<()> {
        let port = Some(self.valkey.port());
        self.valkey = start_valkey(ValkeyConfig { port, ..config }).await?;
        Ok(())
    }

    /// Starts an append-only file with the current data.
    async fn append(&self) -> Result<()> {
        let store = self.connect().await?;
        store.configure("appendonly", "yes").await?;
        in_time("the append-only file", async || {
            let info = store.info("persistence").await.ok()?;
            let done = ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"];
            done.iter().all(|field| info.contains(field)).then_some(())
        })
        .await?;
        Ok(())
    }

    fn folder(&self) -> Result<PathBuf> {
        let folder = self.config.data_dir.clone().context("the store has no folder")?;
        ensure!(folder.exists(), "{} is gone", folder.display());
        Ok(folder)
    }
}

/// A replica that can be promoted.
pub struct Replica {
    valkey: Valkey,
    folder: TempDir,
}

fn config(folder: &TempDir) -> ValkeyConfig {
    ValkeyConfig {
        data_dir: Some(folder.path().to_owned()),
        append_only: true,
        ..ValkeyConfig::default()
    }
}
