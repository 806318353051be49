//! Spin variables.

use std::sync::OnceLock;

use intake::IntakeError;
use spin_sdk::variables::Error;

/// A Spin variable that is read once: it cannot change during the lifetime of the instance.
pub struct Variable {
    name: &'static str,
    value: OnceLock<Option<String>>,
}

impl Variable {
    /// The variable of this name. It is not read yet.
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: OnceLock::new() }
    }

    /// The value of a required variable.
    pub async fn get(&self) -> Result<&str, IntakeError> {
        let missing = || failure(self.name, "the component requires it, but it is not declared");
        self.find().await?.ok_or_else(missing)
    }

    /// The value of the variable; `None` if the component does not declare it.
    pub async fn find(&self) -> Result<Option<&str>, IntakeError> {
        if let Some(value) = self.value.get() {
            return Ok(value.as_deref());
        }
        let value = variable(self.name).await?;
        Ok(self.value.get_or_init(|| value).as_deref())
    }
}

/// The value of the variable of this name; `None` if the component does not declare it.
pub async fn variable(name: &str) -> Result<Option<String>, IntakeError> {
    match spin_sdk::variables::get(name).await {
        Ok(value) => Ok(Some(value)),
        Err(Error::Undefined(_)) => Ok(None),
        Err(e) => Err(failure(name, e)),
    }
}

fn failure(name: &str, reason: impl std::fmt::Display) -> IntakeError {
    IntakeError::Other(format!("Spin variable `{name}`: {reason}"))
}
