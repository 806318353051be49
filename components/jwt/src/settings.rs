//! The configuration, which is read at the first request to an instance.

use std::cell::OnceCell;
use std::rc::Rc;

use access_token::{Guard, Keys, Refusal, Settings};
use guest_http::{invalid_variable, value};
use http::Uri;
use intake::IntakeError;

/// The configuration.
pub struct Config {
    pub guard: Guard,
    pub keys: Source,
}

/// Where the keys come from.
pub enum Source {
    /// The variable `jwt_keys`.
    Configured(Rc<Keys>),
    /// The address in `jwt_keys_url`.
    Published(Uri),
}

thread_local! {
    static CONFIG: OnceCell<&'static Config> = const { OnceCell::new() };
}

/// The configuration.
pub async fn config() -> Result<&'static Config, Refusal> {
    guest_http::config(&CONFIG, read).await.map_err(|_| Refusal::Configuration)
}

async fn read() -> Result<Config, IntakeError> {
    let guard = Guard::new(&Settings {
        issuer: &value("jwt_issuer").await?,
        audience: &value("jwt_audience").await?,
        clock_skew_s: &value("jwt_clock_skew_s").await?,
        routes: &value("jwt_routes").await?,
        claim_headers: &value("jwt_claim_headers").await?,
    });
    let guard = guard.map_err(invalid_variable)?;
    let (keys, url) = (value("jwt_keys").await?, value("jwt_keys_url").await?);
    let keys = match (keys.is_empty(), url.is_empty()) {
        (false, true) => Source::Configured(
            Keys::configured(&keys)
                .map(Rc::new)
                .map_err(|e| invalid_variable(format!("`jwt_keys`: {e}")))?,
        ),
        (true, false) => {
            let url: Uri =
                url.parse().map_err(|e| invalid_variable(format!("`jwt_keys_url`: {e}")))?;
            let Some(authority) = url.authority() else {
                return Err(invalid_variable("`jwt_keys_url` must be a complete URL"));
            };
            if authority.as_str().contains('@') {
                return Err(invalid_variable("`jwt_keys_url` must not contain a user name"));
            }
            Source::Published(url)
        }
        _ => {
            return Err(invalid_variable("`jwt_keys` or `jwt_keys_url` must be set, and not both"));
        }
    };
    Ok(Config { guard, keys })
}
