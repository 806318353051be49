//! The configuration, which is read at the first request to an instance, and what follows from it.

use std::cell::OnceCell;

use background_tasks::{FRONT_VARIABLES, FrontConfig, Keys};
use guest_http::{config, invalid_variable, value};
use guest_task_store::Store;
use http::{HeaderMap, HeaderValue};
use intake::{IntakeError, Problem};
use sale::Violation;

use crate::answers::forbidden;

thread_local! {
    static FRONT: OnceCell<&'static Front> = const { OnceCell::new() };
}

/// What requests are handled with.
pub struct Front {
    pub config: FrontConfig,
    pub keys: Keys,
    pub store: Store,
}

impl Front {
    /// Who sent a request. It is empty if that is not known and need not be.
    pub fn subject(&self, headers: &HeaderMap) -> Result<String, Problem> {
        let name = &self.config.subject_header;
        let mut values = headers.get_all(name).iter();
        let value = values.next().map_or(&b""[..], HeaderValue::as_bytes);
        match std::str::from_utf8(value) {
            Ok("") if !self.config.is_anonymous_permitted => {
                Err(forbidden("a request for a task needs a subject, and this one has none".into()))
            }
            Ok(subject) if values.next().is_none() => Ok(subject.into()),
            _ => Err(Violation::new(name.to_string(), "must be one text").into()),
        }
    }
}

/// The configuration that the variables describe.
pub async fn front() -> Result<&'static Front, Problem> {
    config(&FRONT, read).await
}

async fn read() -> Result<Front, IntakeError> {
    let mut values: [String; FRONT_VARIABLES.len()] = Default::default();
    for (own, name) in values.iter_mut().zip(FRONT_VARIABLES) {
        *own = value(name).await?;
    }
    let config = FrontConfig::new(&values).map_err(invalid_variable)?;
    let store = Store::new(&config.store).map_err(invalid_variable)?;
    Ok(Front { keys: Keys::new(&config.store.secret), store, config })
}
