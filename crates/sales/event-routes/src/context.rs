//! What all events of a request have in common.

use http::{HeaderMap, HeaderName};
use intake::hop_times::HopTimer;
use intake::request::{self, IDEMPOTENCY_KEY, TRACEPARENT, check_many_key, idempotency_key};
use intake::{Problem, request::traceparent};
use sale::Violation;

use crate::config::KeyUse;

/// Maximum length of the headers that are passed on, in bytes, with their names: each event of a batch
/// gets them.
pub(crate) const PASSED_ON_BYTES_MAX: usize = 4 << 10;

/// What all events of a request have in common: the idempotency key, the trace, and the headers that
/// are passed on.
#[derive(Debug, Clone)]
pub struct Context {
    request: request::Context,
    headers: Vec<(String, Vec<u8>)>,
}

impl Context {
    /// Reads the context from the headers of a request.
    pub(crate) fn read(
        headers: &HeaderMap,
        key_use: &KeyUse,
        pass_on: &[(HeaderName, String)],
    ) -> Result<Self, Problem> {
        let idempotency_key = idempotency_key(headers, &key_use.header)?;
        if idempotency_key.is_none() && key_use.required {
            return Err(Violation::new(key_use.header.clone(), "is required").into());
        }
        let mut passed_on = Vec::new();
        for (from, to) in pass_on {
            let values = headers.get_all(from).iter();
            passed_on.extend(values.map(|value| (to.clone(), value.as_bytes().to_vec())));
        }
        let length: usize = passed_on.iter().map(|(name, value)| name.len() + value.len()).sum();
        if length > PASSED_ON_BYTES_MAX {
            let reason = format!(
                "the headers that are passed on must have at most {PASSED_ON_BYTES_MAX} bytes"
            );
            return Err(Violation::new("headers", reason).into());
        }
        let request = request::Context { idempotency_key, traceparent: traceparent(headers) };
        Ok(Self { request, headers: passed_on })
    }

    /// Measures the time of this hop, if the trace is sampled.
    pub fn timer<'a>(&self, hop: &'a str) -> HopTimer<'a> {
        HopTimer::start(hop, &self.request)
    }

    /// Checks that the key of a request with several events stays within the limit of a key when an
    /// index is appended.
    pub(crate) fn check_many_key(&self, key_use: &KeyUse) -> Result<(), Problem> {
        match &self.request.idempotency_key {
            Some(key) => check_many_key(&key_use.header, key),
            None => Ok(()),
        }
    }

    /// The context of one of several events.
    pub(crate) fn for_item(&self, index: usize) -> Self {
        Self { request: self.request.for_item(index), headers: self.headers.clone() }
    }

    /// The idempotency key, and the headers of the record, which contain it, too.
    pub(crate) fn into_headers(self) -> (Option<String>, Vec<(String, Vec<u8>)>) {
        let request::Context { idempotency_key, traceparent } = self.request;
        let own = [(IDEMPOTENCY_KEY, &idempotency_key), (TRACEPARENT, &traceparent)];
        let own = own.into_iter().filter_map(|(name, value)| {
            value.as_ref().map(|value| (name.to_owned(), value.clone().into_bytes()))
        });
        let mut headers = self.headers;
        headers.extend(own);
        (idempotency_key, headers)
    }
}
