//! SASL authentication.

use std::time::Duration;

use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;

use crate::ConnectError;
use crate::config::{Mechanism, Sasl};
use crate::connection::Connection;
use crate::network::{Network, Stream};
use crate::outcome::error_text;
use crate::scram::Scram;

/// The share of a session's lifetime after which it is not used any more, in percent.
const LIFETIME_USED_PERCENT: u64 = 85;

/// Authenticates. Returns the lifetime of the session; None if it does not expire.
pub async fn authenticate<S: Stream, N: Network>(
    connection: &mut Connection<S>,
    sasl: &Sasl,
    network: &N,
) -> Result<Option<Duration>, ConnectError> {
    let mechanism = StrBytes::from_static_str(sasl.mechanism.name());
    let handshake = SaslHandshakeRequest::default().with_mechanism(mechanism);
    let response = connection.exchange(&handshake).await?;
    if response.error_code != 0 {
        let reason = error_text(response.error_code);
        return Err(refused(connection, sasl, &reason));
    }
    let lifetime_ms = match sasl.mechanism {
        Mechanism::Plain => {
            let token = format!("\0{}\0{}", sasl.username, sasl.password).into_bytes();
            send_token(connection, sasl, token).await?.1
        }
        Mechanism::ScramSha256 | Mechanism::ScramSha512 => {
            let nonce = format!("{:016x}{:016x}", network.random(), network.random());
            let scram = Scram::new(sasl, nonce);
            let (first, _) = send_token(connection, sasl, scram.first()).await?;
            let Some(last) = scram.last(&first) else {
                return Err(refused(connection, sasl, "its SCRAM message is not valid"));
            };
            let (proof, lifetime_ms) = send_token(connection, sasl, last.message).await?;
            if proof != last.expected {
                let reason = "it did not prove that it knows the password";
                return Err(refused(connection, sasl, reason));
            }
            lifetime_ms
        }
    };
    let lifetime_ms = u64::try_from(lifetime_ms).ok().filter(|lifetime| *lifetime > 0);
    Ok(lifetime_ms.map(|ms| Duration::from_millis(ms.saturating_mul(LIFETIME_USED_PERCENT) / 100)))
}

/// Sends one message. Returns the response and the session's lifetime in milliseconds.
async fn send_token<S: Stream>(
    connection: &mut Connection<S>,
    sasl: &Sasl,
    message: Vec<u8>,
) -> Result<(Vec<u8>, i64), ConnectError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
    let response = connection.exchange(&request).await?;
    if response.error_code != 0 {
        let text = error_text(response.error_code);
        let reason = response.error_message.map_or(text, |message| message.to_string());
        return Err(refused(connection, sasl, &reason));
    }
    Ok((response.auth_bytes.to_vec(), response.session_lifetime_ms))
}

fn refused<S>(connection: &Connection<S>, sasl: &Sasl, reason: &str) -> ConnectError {
    ConnectError::Refused(format!(
        "{}: authentication failed ({sasl:?}): {reason}",
        connection.address
    ))
}
