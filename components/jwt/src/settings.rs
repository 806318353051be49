//! The configuration, which is read at the first request to an instance.

use std::cell::OnceCell;
use std::rc::Rc;

use access_token::{Guard, Keys, Refusal, Settings};
use guest_http::{report, variable};
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

/// The configuration. It does not change during the life of an instance. A failure is not
/// remembered, because a provider of variables may be unavailable for a while.
pub async fn config() -> Result<&'static Config, Refusal> {
    if let Some(config) = CONFIG.with(|config| config.get().copied()) {
        return Ok(config);
    }
    let config = read().await.inspect_err(report).map_err(|_| Refusal::Configuration)?;
    // Once for each instance; two requests may get here at the same time.
    Ok(CONFIG.with(|own| *own.get_or_init(|| Box::leak(Box::new(config)))))
}

async fn read() -> Result<Config, IntakeError> {
    let value = async |name| Ok::<_, IntakeError>(variable(name).await?.unwrap_or_default());
    let guard = Guard::new(&Settings {
        issuer: &value("jwt_issuer").await?,
        audience: &value("jwt_audience").await?,
        clock_skew_s: &value("jwt_clock_skew_s").await?,
        routes: &value("jwt_routes").await?,
        claim_headers: &value("jwt_claim_headers").await?,
    });
    let guard = guard.map_err(|e| IntakeError::Other(format!("Spin variable {e}")))?;
    let (keys, url) = (value("jwt_keys").await?, value("jwt_keys_url").await?);
    let fault = |reason: String| IntakeError::Other(format!("Spin variable {reason}"));
    let keys = match (keys.is_empty(), url.is_empty()) {
        (false, true) => Source::Configured(
            Keys::configured(&keys).map(Rc::new).map_err(|e| fault(format!("`jwt_keys`: {e}")))?,
        ),
        (true, false) => {
            let url: Uri = url.parse().map_err(|e| fault(format!("`jwt_keys_url`: {e}")))?;
            let Some(authority) = url.authority() else {
                return Err(fault("`jwt_keys_url` must be a complete URL".into()));
            };
            if authority.as_str().contains('@') {
                return Err(fault("`jwt_keys_url` must not contain a user name".into()));
            }
            Source::Published(url)
        }
        _ => return Err(fault("`jwt_keys` or `jwt_keys_url` must be set, and not both".into())),
    };
    Ok(Config { guard, keys })
}
