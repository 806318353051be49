//! Configurations that are read from Spin variables at the first request to an instance.

use std::cell::OnceCell;
use std::fmt::Display;
use std::thread::LocalKey;

use http::StatusCode;
use intake::{IntakeError, Problem};

use crate::report::report;
use crate::variable::variable;

/// The configuration of an instance, which does not change during its life.
pub type Config<T> = LocalKey<OnceCell<&'static T>>;

/// The configuration, which `read` creates from variables. A failure is not remembered, because a
/// provider of variables may be unavailable for a while. It is logged, and every request is answered
/// with the problem.
pub async fn config<T>(
    own: &'static Config<T>,
    read: impl AsyncFnOnce() -> Result<T, IntakeError>,
) -> Result<&'static T, Problem> {
    if let Some(config) = own.with(|config| config.get().copied()) {
        return Ok(config);
    }
    let config = read().await.inspect_err(report).map_err(|_| invalid())?;
    // Once for each instance; two requests may get here at the same time.
    Ok(own.with(|own| *own.get_or_init(|| Box::leak(Box::new(config)))))
}

/// The value of a variable; empty if the component does not declare it.
pub async fn value(name: &str) -> Result<String, IntakeError> {
    Ok(variable(name).await?.unwrap_or_default())
}

/// The error for variables with values that are not valid.
pub fn invalid_variable(error: impl Display) -> IntakeError {
    IntakeError::Other(format!("Spin variable {error}"))
}

/// The log has the reason.
fn invalid() -> Problem {
    let detail = "the settings of the component are not valid";
    Problem::new("urn:doorbuster:problem:downstream", StatusCode::BAD_GATEWAY, detail)
}

/// Defines `current`, an asynchronous function that returns the configuration of the instance. It is
/// created by `Config::new` from `Settings`, whose fields are the values of the variables with this
/// prefix.
#[macro_export]
macro_rules! settings {
    (
        $config:ident, $settings:ident, $prefix:literal, [$($field:ident),+ $(,)?]
        $(, $part:ident: $part_settings:ident [$($part_field:ident),+ $(,)?])?
    ) => {
        thread_local! {
            static CONFIG: ::std::cell::OnceCell<&'static $config> =
                const { ::std::cell::OnceCell::new() };
        }

        /// The configuration that the variables describe.
        pub async fn current() -> Result<&'static $config, $crate::Problem> {
            $crate::config(&CONFIG, async || {
                $config::new(&$settings {
                    $($field: &$crate::value(concat!($prefix, stringify!($field))).await?,)+
                    $($part: $part_settings {
                        $($part_field: &$crate::value(concat!(
                            $prefix, stringify!($part), "_", stringify!($part_field)
                        )).await?,)+
                    },)?
                })
                .map_err($crate::invalid_variable)
            })
            .await
        }
    };
}
