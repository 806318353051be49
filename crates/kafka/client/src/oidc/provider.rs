//! Requests and renews the token that all clients with the same settings use.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::OidcSettings;
use super::endpoint::{Endpoint, provider};
use crate::oauth::{Token, TokenError};

/// The part of a token's lifetime after which it is renewed, so that there is another one when
/// librdkafka asks, after 64 %.
const RENEWAL: std::ops::Range<f64> = 0.5..0.6;
/// The shortest time between two requests.
const RENEWAL_MIN: Duration = Duration::from_secs(1);
/// The first pause after a failed request. The upper limit of each further pause is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause after a failed request, and the pause after a refusal.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// The providers of the process that are in use.
static PROVIDERS: Mutex<Vec<Weak<Provider>>> = Mutex::new(Vec::new());

/// A provider, and its current token. A thread requests tokens from the first use. It ends
/// at the first renewal at which no client uses the provider.
pub(crate) struct Provider {
    settings: OidcSettings,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The failure of the last request.
    failure: Option<TokenError>,
    /// Whether the thread runs.
    is_running: bool,
    /// Whether a request is in progress, or must be sent now.
    is_requested: bool,
}

impl State {
    fn valid_token(&self) -> Option<&Token> {
        self.token.as_ref().filter(|token| token.expires > SystemTime::now())
    }
}

impl Provider {
    /// The provider with these settings. All clients of the process use the same one.
    pub fn shared(settings: &OidcSettings) -> Arc<Self> {
        let mut providers = PROVIDERS.lock().unwrap_or_else(PoisonError::into_inner);
        providers.retain(|provider| provider.strong_count() > 0);
        let known = providers.iter().filter_map(Weak::upgrade);
        if let Some(provider) = known.into_iter().find(|known| known.settings == *settings) {
            return provider;
        }
        let provider = Arc::new(Self {
            settings: settings.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        providers.push(Arc::downgrade(&provider));
        provider
    }

    /// A token that has not expired. Blocks for at most `limit`, and only while a request is in
    /// progress and there is no such token.
    pub fn token(self: &Arc<Self>, limit: Duration) -> Result<Token, TokenError> {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if let Some(token) = state.valid_token() {
                return Ok(token.clone());
            }
            if !state.is_running {
                self.start(&mut state)?;
            } else if !state.is_requested {
                if let Some(failure) = &state.failure {
                    return Err(failure.clone());
                }
                // The token expired before its renewal: the clock was changed, or stood still.
                state.is_requested = true;
                self.changed.notify_all();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.unavailable("no answer yet"));
            }
            state = self.wait(state, left);
        }
    }

    fn start(self: &Arc<Self>, state: &mut State) -> Result<(), TokenError> {
        let provider = self.clone();
        let thread = thread::Builder::new().name("kafka-oauth".into());
        let started = thread.spawn(move || provider.run());
        started.map_err(|error| self.unavailable(format!("cannot start a thread: {error}")))?;
        (state.is_running, state.is_requested, state.failure) = (true, true, None);
        Ok(())
    }

    /// Requests tokens until no client uses them.
    fn run(self: Arc<Self>) {
        let mut endpoint = Endpoint::new(&self.settings);
        let mut failures = 0_u32;
        loop {
            let fetched = endpoint.fetch();
            failures = if fetched.is_ok() { 0 } else { failures.saturating_add(1) };
            let pause = match &fetched {
                Ok(token) => renewal_pause(token.lifetime()),
                Err(error) => pause_after(error, failures),
            };
            let mut state = self.lock();
            self.log(&state, &fetched, pause);
            match fetched {
                Ok(token) => (state.token, state.failure) = (Some(token), None),
                Err(error) => state.failure = Some(error),
            }
            state.is_requested = false;
            self.changed.notify_all();
            let until = Instant::now() + pause;
            while !state.is_requested {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                state = self.wait(state, left);
            }
            // A client that begins to use it from now on waits for the lock, and starts another
            // thread.
            if Arc::strong_count(&self) == 1 {
                state.is_running = false;
                return;
            }
            state.is_requested = true;
        }
    }

    fn log(&self, before: &State, fetched: &Result<Token, TokenError>, pause: Duration) {
        let provider = provider(&self.settings);
        let pause_s = pause.as_secs_f32();
        match fetched {
            Ok(token) if before.failure.is_some() => {
                let lifetime_s = token.lifetime().as_secs();
                tracing::info!(provider, lifetime_s, "the provider issues tokens for Kafka again");
            }
            Ok(token) => {
                let lifetime_s = token.lifetime().as_secs();
                tracing::debug!(provider, lifetime_s, pause_s, "new token for Kafka");
            }
            Err(error) => {
                let valid_s = before.valid_token().map_or(0, |token| token.lifetime().as_secs());
                let class = error.class();
                tracing::warn!(class, %error, valid_s, pause_s, "no new token for Kafka; trying again");
            }
        }
    }

    fn unavailable(&self, reason: impl Into<String>) -> TokenError {
        TokenError::Unavailable { provider: provider(&self.settings), reason: reason.into() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// How long a new token is used before it is renewed. The time is random, so that the processes of
/// an application do not renew their tokens at the same time.
fn renewal_pause(lifetime: Duration) -> Duration {
    let part = RENEWAL.start + fastrand::f64() * (RENEWAL.end - RENEWAL.start);
    lifetime.mul_f64(part).max(RENEWAL_MIN)
}

/// The pause after this number of failed requests in a row: random, between half of its upper limit
/// and the limit.
fn pause_after(error: &TokenError, failures: u32) -> Duration {
    let doubled =
        PAUSE_MIN.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let limit = if error.is_retriable() { doubled.min(PAUSE_MAX) } else { PAUSE_MAX };
    limit.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_librdkafka_asks() {
        for _ in 0..100 {
            let pause = renewal_pause(Duration::from_secs(100));
            assert!((Duration::from_secs(50)..Duration::from_secs(60)).contains(&pause));
        }
        assert_eq!(renewal_pause(Duration::ZERO), RENEWAL_MIN);
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let (provider, reason) = (String::new(), String::new());
        let unavailable =
            TokenError::Unavailable { provider: provider.clone(), reason: reason.clone() };
        let between = |pause: Duration, limit: Duration| {
            assert!((limit / 2..=limit).contains(&pause), "{pause:?} of {limit:?}");
        };
        between(pause_after(&unavailable, 1), PAUSE_MIN);
        between(pause_after(&unavailable, 3), PAUSE_MIN * 4);
        for failures in [10, 32, 33, u32::MAX] {
            between(pause_after(&unavailable, failures), PAUSE_MAX);
        }
        between(pause_after(&TokenError::Refused { provider, reason }, 1), PAUSE_MAX);
    }

    #[test]
    fn clients_with_the_same_settings_share_a_provider() {
        let settings =
            |client_id: &str| OidcSettings { client_id: client_id.into(), ..Default::default() };
        let first = Provider::shared(&settings("shared"));
        assert!(Arc::ptr_eq(&first, &Provider::shared(&settings("shared"))));
        assert!(!Arc::ptr_eq(&first, &Provider::shared(&settings("other"))));
    }
}
