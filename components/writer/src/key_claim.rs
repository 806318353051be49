//! Claims the idempotency key before a sale is written: a key belongs to the first sale that uses
//! it.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;
use std::time::Duration;

use guest_http::Variable;
use guest_tasks::{now_ms, within};
use idempotency::{Answer, Bounds, Claim, Claimed};
use intake::{CircuitBreaker, IntakeError};
use valkey_codec::{Reply, Scalar, encode};

use crate::bindings::doorbuster::valkey::client::{ClientError, pipeline};

/// Maximum time for Valkey's answer. Without an answer the sale is written nevertheless; the
/// aggregator recognises retries by their key and values.
const LIMIT: Duration = Duration::from_millis(250);

static KEYS_MAX: Variable = Variable::new(Bounds::KEYS_MAX_VARIABLE);
static WINDOW: Variable = Variable::new(Bounds::WINDOW_VARIABLE);

/// Minimum time between two log entries about the same failure.
const COMPLAINT_MS: u64 = 60_000;

thread_local! {
    /// Avoids waiting for a Valkey that does not answer.
    static BREAKER: RefCell<CircuitBreaker> = RefCell::default();
    /// When the failure was last logged.
    static COMPLAINED_MS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Claims the key for this body. Fails if the key belongs to another sale, or if the configuration
/// is not valid.
pub async fn claim(topic: &str, key: &str, body: &[u8]) -> Result<(), IntakeError> {
    let bounds = bounds().await?;
    // While Valkey does not answer, sales are written without this check.
    if !BREAKER.with_borrow_mut(|breaker| breaker.allow(now_ms)) {
        return Ok(());
    }
    let claimed = within(LIMIT, ask(Claim::new(topic, key, body, bounds))).await;
    BREAKER.with_borrow_mut(|breaker| match &claimed {
        Some(Ok(_)) => breaker.succeeded(),
        Some(Err(_)) | None => breaker.failed(now_ms()),
    });
    match claimed {
        Some(Ok(Claimed::Taken)) => Err(IntakeError::KeyTaken(format!(
            "the Idempotency-Key `{key}` belongs to another sale; give this one a key of its own"
        ))),
        Some(Err(Fault::Config(text))) => Err(IntakeError::Other(text)),
        Some(Ok(Claimed::Ours)) => Ok(()),
        Some(Err(Fault::NoAnswer(text))) => {
            complain(&text);
            Ok(())
        }
        None => {
            complain(&format!("Valkey gave no answer in {LIMIT:?}"));
            Ok(())
        }
    }
}

/// Logs, at a limited rate, that keys are not checked, because only operators can notice it.
fn complain(text: &str) {
    let now = now_ms();
    let due = |last: u64| now.saturating_sub(last) >= COMPLAINT_MS;
    if COMPLAINED_MS.get().is_none_or(due) {
        COMPLAINED_MS.set(Some(now));
        printing::note(format_args!("idempotency keys are not checked for other values: {text}"));
    }
}

/// Why it is not known who owns the key.
enum Fault {
    /// The address of Valkey is missing or not valid.
    Config(String),
    /// Valkey could not be asked or returned an error, for this reason.
    NoAnswer(String),
}

async fn ask(mut claim: Claim<'_>) -> Result<Claimed, Fault> {
    loop {
        let command = encode(&[claim.command()]).map_err(|e| Fault::NoAnswer(e.to_string()))?;
        let replies = pipeline(command, 1).await.map_err(|error| match error {
            ClientError::Config(text) => Fault::Config(text),
            ClientError::Connect(text)
            | ClientError::Auth(text)
            | ClientError::Interrupted(text)
            | ClientError::Protocol(text) => Fault::NoAnswer(text),
        })?;
        let answer = match replies.into_iter().next() {
            Some(Reply::One(Scalar::Text(word))) => {
                Answer::Word(String::from_utf8_lossy(&word).into_owned())
            }
            Some(Reply::One(Scalar::Error(text))) => Answer::Error(text),
            reply => return Err(Fault::NoAnswer(format!("Valkey answers {reply:?}"))),
        };
        if let Some(claimed) =
            claim.answer(answer).map_err(|error| Fault::NoAnswer(error.to_string()))?
        {
            return Ok(claimed);
        }
    }
}

/// The limits of the remembered keys. They do not change during the life of an instance.
async fn bounds() -> Result<Bounds, IntakeError> {
    static BOUNDS: OnceLock<Bounds> = OnceLock::new();
    if let Some(bounds) = BOUNDS.get() {
        return Ok(*bounds);
    }
    let (keys_max, window_s) = (KEYS_MAX.find().await?, WINDOW.find().await?);
    let bounds =
        Bounds::parse(keys_max, window_s).map_err(|e| IntakeError::Other(e.to_string()))?;
    Ok(*BOUNDS.get_or_init(|| bounds))
}
