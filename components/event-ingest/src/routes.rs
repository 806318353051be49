//! The routes, which are compiled at the first request to an instance.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use event_routes::{Config, ConfigError, ROUTES_VARIABLE, Routes};
use guest_http::variable;
use intake::IntakeError;

/// The routes. They do not change during the life of an instance. A failure is not remembered,
/// because a provider of variables may be unavailable for a while.
pub async fn routes() -> Result<&'static Routes, IntakeError> {
    static ROUTES: OnceLock<Routes> = OnceLock::new();
    if let Some(routes) = ROUTES.get() {
        return Ok(routes);
    }
    let missing = || IntakeError::Other(format!("Spin variable `{ROUTES_VARIABLE}` is required"));
    let text = variable(ROUTES_VARIABLE).await?.ok_or_else(missing)?;
    let config = Config::parse(&text).map_err(fault)?;
    let mut secrets = BTreeMap::new();
    for name in config.secret_names() {
        if let Some(secret) = variable(name).await? {
            secrets.insert(name.to_owned(), secret);
        }
    }
    let routes = Routes::compile(config, &secrets).map_err(fault)?;
    Ok(ROUTES.get_or_init(|| routes))
}

fn fault(error: ConfigError) -> IntakeError {
    IntakeError::Other(format!("Spin variable `{ROUTES_VARIABLE}`: {error}"))
}
