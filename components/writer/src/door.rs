//! The door before the log: an idempotency key belongs to the first sale that comes with it.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;
use std::time::Duration;

use guest_http::Variable;
use guest_tasks::{now_ms, within};
use idempotency::{Answer, Bounds, Claim, Claimed};
use intake::{CircuitBreaker, IntakeError};

use crate::bindings::doorbuster::valkey::client::{ClientError, Reply, Scalar, pipeline};

/// Time that Valkey gets. Without its answer the sale is written all the same: the aggregator
/// knows a retry by its key and its values.
const LIMIT: Duration = Duration::from_millis(250);

static KEYS_MAX: Variable = Variable::new(Bounds::KEYS_MAX_VARIABLE);
static WINDOW: Variable = Variable::new(Bounds::WINDOW_VARIABLE);

/// Time between two complaints about the same trouble.
const COMPLAINT_MS: u64 = 60_000;

thread_local! {
    /// Spares requests the wait for a Valkey that does not answer.
    static BREAKER: RefCell<CircuitBreaker> = RefCell::default();
    /// When it was last said that Valkey does not answer.
    static COMPLAINED_MS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Claims the key for this body. An error says that another sale has it, or that the
/// configuration is wrong.
pub async fn claim(topic: &str, key: &str, body: &[u8]) -> Result<(), IntakeError> {
    let bounds = bounds().await?;
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

/// Says, now and then, that keys are not checked: clients do not notice, operators must.
fn complain(text: &str) {
    let now = now_ms();
    let due = |last: u64| now.saturating_sub(last) >= COMPLAINT_MS;
    if COMPLAINED_MS.get().is_none_or(due) {
        COMPLAINED_MS.set(Some(now));
        printing::note(format_args!("idempotency keys are not checked for other values: {text}"));
    }
}

/// Why nobody knows whose the key is.
enum Fault {
    /// It is not known where Valkey is.
    Config(String),
    /// Valkey cannot be asked, or cannot say, and why.
    NoAnswer(String),
}

async fn ask(mut claim: Claim<'_>) -> Result<Claimed, Fault> {
    loop {
        let replies = pipeline(vec![claim.command()]).await.map_err(|error| match error {
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

/// The memory's bounds; they cannot change while the instance lives.
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
