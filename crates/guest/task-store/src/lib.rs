//! The states of background tasks in Valkey.

use std::time::{Duration, Instant};

use background_tasks::{StoreConfig, TRANSITION, TaskId, Transition, values};
use guest_valkey::Client;
use secrecy::ExposeSecret as _;
use spin_sdk::time::sleep;
use spin_sdk::wasip3::random::random::get_random_u64;
use valkey_codec::{Reply, encode};

/// The variable with the URL of Valkey.
const URL: &str = "tasks_valkey_url";

/// The pause before a change is repeated.
const PAUSE: Duration = Duration::from_millis(300);

/// The states of tasks.
pub struct Store(Client);

impl Store {
    /// The states in the Valkey of this configuration. The error is a message.
    pub fn new(config: &StoreConfig) -> Result<Self, String> {
        let client = Client::configured(URL, config.url.expose_secret())?;
        client.map(Self).ok_or_else(|| format!("`{URL}` is required"))
    }

    /// Changes the state of a task. The error is a message; the state may have been changed.
    pub async fn change<T>(
        &self,
        config: &StoreConfig,
        id: &TaskId,
        transition: &Transition<'_>,
    ) -> Result<T, String>
    where
        T: TryFrom<Reply, Error = String>,
    {
        let arguments = transition.arguments(config.retention_ms);
        let arguments: Vec<_> = arguments.iter().map(Vec::as_slice).collect();
        let reply = self.0.call(&TRANSITION, &config.key(id), &arguments, config.timeout_ms).await;
        T::try_from(reply.map_err(|error| error.to_string())?)
    }

    /// Makes a change, and repeats it until this time if it fails. It must have the same result if it
    /// is made twice. The error is a message.
    pub async fn change_until<T>(
        &self,
        config: &StoreConfig,
        id: &TaskId,
        transition: &Transition<'_>,
        end: Instant,
    ) -> Result<T, String>
    where
        T: TryFrom<Reply, Error = String>,
    {
        loop {
            let changed = self.change(config, id, transition).await;
            if changed.is_ok() || Instant::now() + PAUSE >= end {
                return changed;
            }
            sleep(PAUSE).await;
        }
    }

    /// The values of fields of a task. The error is a message.
    pub async fn fields(
        &self,
        config: &StoreConfig,
        id: &TaskId,
        names: &[&str],
    ) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut words = vec![b"HMGET".to_vec(), config.key(id)];
        words.extend(names.iter().map(|name| name.as_bytes().to_vec()));
        let replies = self.0.pipeline(encode(&[words]), 1, config.timeout_ms).await;
        let reply = replies.map_err(|error| error.to_string())?.pop();
        values(reply.ok_or("there is no reply of Valkey")?)
    }
}

/// Random bytes.
pub fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    let numbers = [get_random_u64(), get_random_u64()].map(u64::to_be_bytes);
    bytes.iter_mut().zip(numbers.as_flattened()).for_each(|(own, byte)| *own = *byte);
    bytes
}
