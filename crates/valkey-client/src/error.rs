//! Why there is no connection.

use std::fmt;
use std::time::Duration;

use redis::RedisError;
use valkey_codec::{Address, shown};

/// There is no primary, or no way to it: what was found at each of the servers.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// What was found, and where.
    pub faults: Vec<(Address, Fault)>,
}

/// What was found at a server.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No answer.
    #[error("nothing came in {0:?}")]
    Silent(Duration),
    /// It copies another one, or is no store at all.
    #[error("it is not the primary; its role: {0}")]
    Role(String),
    /// It refuses, in words that might repeat the password.
    #[error("{0}")]
    Hidden(String),
    /// It cannot be reached, or refuses.
    #[error("{0}")]
    Redis(#[from] RedisError),
}

impl Fault {
    /// What an error is, without its words if these might repeat the password.
    pub(crate) fn of(address: &Address, error: RedisError) -> Self {
        let code = error.code().unwrap_or("an error").to_owned();
        let text = error.detail().map(|detail| format!("{code} {detail}"));
        let harmless = text.is_none_or(|text| shown(address, &text) == text);
        let all = format!("{error} {error:?}");
        let repeats = |password: &String| all.contains(password.as_str());
        if error.is_io_error() || harmless && !address.password.as_ref().is_some_and(repeats) {
            return Self::Redis(error);
        }
        Self::Hidden(format!("{code} (the rest is not shown: it may repeat the password)"))
    }
}

impl Error {
    /// Another server may be the primary later; credentials stay wrong.
    pub fn is_retriable(&self) -> bool {
        self.faults.iter().any(|(_, fault)| match fault {
            Fault::Silent(_) | Fault::Role(_) => true,
            Fault::Hidden(_) => false,
            Fault::Redis(error) => error.is_io_error(),
        })
    }
}

impl fmt::Display for Error {
    /// A server alone needs no name: it was given by whoever asks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(_, fault)] = self.faults.as_slice() {
            return fault.fmt(f);
        }
        write!(f, "no primary found")?;
        for (place, (address, fault)) in self.faults.iter().enumerate() {
            write!(f, "{} {address}: {fault}", if place == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}
