//! What the settings of several policies have in common.

use std::time::Duration;

use component_settings::SettingError;
use http::StatusCode;

/// Maximum time until the head of a response, and for the body of a request. It is below the limit of the host, which drops an
/// instance that takes longer.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(25);

/// Maximum number of statuses in a list.
const STATUSES_MAX: usize = 16;

/// Statuses that are failures, separated by commas, or `none`. By default, they are those with which a
/// server says that it or another one does not work at the moment.
pub(crate) fn statuses(
    variable: &'static str,
    text: &str,
) -> Result<Vec<StatusCode>, SettingError> {
    let text = match text {
        "none" => return Ok(Vec::new()),
        "" => "502,503,504",
        text => text,
    };
    let error = || {
        let reason = format!("must be `none`, or at most {STATUSES_MAX} statuses from 400 to 599");
        SettingError::new(variable, reason)
    };
    let statuses = text.split(',').map(|status| match status.trim().parse() {
        Ok(status @ 400..=599) => StatusCode::from_u16(status).map_err(|_| error()),
        _ => Err(error()),
    });
    let statuses = statuses.collect::<Result<Vec<_>, _>>()?;
    if statuses.len() > STATUSES_MAX { Err(error()) } else { Ok(statuses) }
}
