//! Claims the idempotency key before a record is written: a key belongs to the first sale or event
//! that uses it.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use guest_http::Variable;
use guest_tasks::now_ms;
use idempotency::{Claim, KeyOwner, Reply as ScriptReply, RetentionLimits};
use intake::{CircuitBreaker, IntakeError};
use valkey_codec::{Reply, Scalar, encode};

use crate::bindings::doorbuster::valkey::client::{ClientError, pipeline};

/// Maximum time for Valkey's answer, in milliseconds, for all calls of a claim together. Without an
/// answer the record is written nevertheless; a consumer such as the aggregator recognises retries
/// by their key and values.
const LIMIT_MS: u32 = 250;

static KEYS_MAX: Variable = Variable::new(RetentionLimits::KEYS_MAX_VARIABLE);
static WINDOW: Variable = Variable::new(RetentionLimits::WINDOW_VARIABLE);

/// Minimum time between two log entries about the same failure.
const LOG_INTERVAL_MS: u64 = 60_000;

thread_local! {
    /// Avoids waiting for a Valkey that does not answer.
    static BREAKER: RefCell<CircuitBreaker> = RefCell::default();
    /// When the failure was last logged.
    static LOGGED_MS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Claims the key for this content. Fails if the key belongs to other content, or if the
/// configuration is not valid.
pub async fn claim(topic: &str, key: &str, content: &[u8]) -> Result<(), IntakeError> {
    let limits = limits().await?;
    // While Valkey does not answer, records are written without this check.
    if !BREAKER.with_borrow_mut(|breaker| breaker.allow(now_ms)) {
        return Ok(());
    }
    let owner = send(Claim::new(topic, key, content, limits)).await;
    BREAKER.with_borrow_mut(|breaker| match &owner {
        Ok(_) => breaker.succeeded(),
        Err(_) => breaker.failed(now_ms()),
    });
    match owner {
        Ok(KeyOwner::AnotherSale) => Err(IntakeError::KeyTaken(format!(
            "the idempotency key `{key}` belongs to another request; send this one with another key"
        ))),
        Err(ClaimError::Config(text)) => Err(IntakeError::Other(text)),
        Ok(KeyOwner::ThisSale) => Ok(()),
        Err(ClaimError::Unknown(text)) => {
            log_unchecked(&text);
            Ok(())
        }
    }
}

/// Logs, at a limited rate, that keys are not checked. Clients do not notice it.
fn log_unchecked(text: &str) {
    let now = now_ms();
    if LOGGED_MS.get().is_none_or(|last| now.saturating_sub(last) >= LOG_INTERVAL_MS) {
        LOGGED_MS.set(Some(now));
        printing::note(format_args!(
            "requests are accepted without checking their idempotency keys: {text}"
        ));
    }
}

/// Why the owner of the key is not known.
enum ClaimError {
    /// The address of Valkey is missing or not valid.
    Config(String),
    /// Valkey could not be reached or returned an error, with the reason.
    Unknown(String),
}

async fn send(mut claim: Claim<'_>) -> Result<KeyOwner, ClaimError> {
    let start = now_ms();
    loop {
        let command = encode(&[claim.command()]);
        let elapsed_ms = u32::try_from(now_ms().saturating_sub(start)).unwrap_or(u32::MAX);
        let remaining_ms = LIMIT_MS.saturating_sub(elapsed_ms);
        let replies = pipeline(command, 1, remaining_ms).await.map_err(|error| match error {
            ClientError::Config(text) => ClaimError::Config(text),
            ClientError::Connect(text)
            | ClientError::Auth(text)
            | ClientError::Interrupted(text)
            | ClientError::Protocol(text) => ClaimError::Unknown(text),
        })?;
        let reply = match replies.into_iter().next() {
            Some(Reply::One(Scalar::Text(word))) => {
                ScriptReply::Word(String::from_utf8_lossy(&word).into_owned())
            }
            Some(Reply::One(Scalar::Error(text))) => ScriptReply::Error(text),
            reply => {
                return Err(ClaimError::Unknown(format!("unexpected reply of Valkey: {reply:?}")));
            }
        };
        if let Some(owner) = claim.reply(reply).map_err(ClaimError::Unknown)? {
            return Ok(owner);
        }
    }
}

/// The limits of the remembered keys. They do not change during the life of an instance.
async fn limits() -> Result<RetentionLimits, IntakeError> {
    static LIMITS: OnceLock<RetentionLimits> = OnceLock::new();
    if let Some(limits) = LIMITS.get() {
        return Ok(*limits);
    }
    let (keys_max, window_s) = (KEYS_MAX.find().await?, WINDOW.find().await?);
    let limits = RetentionLimits::parse(keys_max, window_s)
        .map_err(|e| IntakeError::Other(e.to_string()))?;
    Ok(*LIMITS.get_or_init(|| limits))
}
