//! The errors of connecting.

use std::fmt;
use std::time::Duration;

use redis::RedisError;
use valkey_codec::{Address, without_password};

/// No server is a reachable primary. Contains the reason for each server.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// The servers that were tried, and why each was not used.
    pub faults: Vec<(Address, Fault)>,
}

/// Why a server was not used.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The server did not answer within this time.
    #[error("no answer in {0:?}")]
    Silent(Duration),
    /// The server is a replica, or not a data store at all (a Sentinel); contains its role.
    #[error("it is not the primary; its role: {0}")]
    Role(String),
    /// The Sentinel cannot be reached, or knows no primary.
    #[error("{0}")]
    Sentinel(String),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server rejected the connection. Its text is omitted, because it might contain
    /// the password.
    #[error("{0}")]
    Hidden(String),
    /// The server cannot be reached, or rejected the connection.
    #[error("{0}")]
    Redis(#[from] RedisError),
}

impl Fault {
    /// Classifies an error, and omits its text if that might contain the password.
    pub(crate) fn new(address: &Address, error: RedisError) -> Self {
        let code = error.code().unwrap_or("an error").to_owned();
        let text = error.detail().map(|detail| format!("{code} {detail}"));
        let harmless = text.is_none_or(|text| without_password(address, &text) == text);
        let all = format!("{error} {error:?}");
        let contains = |password: &String| all.contains(password.as_str());
        if error.is_io_error() || harmless && !address.password.as_ref().is_some_and(contains) {
            return Self::Redis(error);
        }
        Self::Hidden(format!("{code} (the rest is not shown, because it may contain the password)"))
    }
}

impl Error {
    /// Whether a later attempt may succeed. Another server may become the primary, but wrong
    /// credentials remain wrong.
    pub fn is_retriable(&self) -> bool {
        self.faults.iter().any(|(_, fault)| match fault {
            Fault::Silent(_) | Fault::Role(_) | Fault::Sentinel(_) => true,
            Fault::Hidden(_) | Fault::Tls(_) => false,
            Fault::Redis(error) => error.is_io_error(),
        })
    }
}

impl fmt::Display for Error {
    /// A single server is not named, because the caller knows its address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(_, fault)] = self.faults.as_slice() {
            return fault.fmt(f);
        }
        write!(f, "no primary found")?;
        for (index, (address, fault)) in self.faults.iter().enumerate() {
            write!(f, "{} {address}: {fault}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}
