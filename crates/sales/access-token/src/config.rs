//! The settings: the values of Spin variables.

use std::collections::BTreeMap;

use component_settings::{SettingError, json, number};
use http::HeaderName;

use crate::claim::ClaimName;
use crate::route::RouteConfig;

/// What is wrong with a variable that must have a value.
const REQUIRED: &str = "is required";

/// Maximum number of audiences.
const NAMES_MAX: usize = 16;

/// Maximum number of entries of `jwt_routes`.
const ROUTES_MAX: usize = 64;

/// Maximum number of headers with claims.
const HEADERS_MAX: usize = 16;

/// Maximum difference between two clocks, in seconds.
const CLOCK_SKEW_S_MAX: u64 = 300;

/// The default of `jwt_clock_skew_s`.
const CLOCK_SKEW_S: u64 = 60;

/// The values of the Spin variables. An empty value has the same meaning as a variable that is not
/// declared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// `jwt_issuer`: the accepted value of `iss`.
    pub issuer: &'a str,
    /// `jwt_audience`: the accepted values of `aud`, separated by commas.
    pub audience: &'a str,
    /// `jwt_clock_skew_s`: the tolerance for `exp` and `nbf`.
    pub clock_skew_s: &'a str,
    /// `jwt_routes`: rules for paths, as JSON.
    pub routes: &'a str,
    /// `jwt_claim_headers`: the headers with claims, as a JSON object.
    pub claim_headers: &'a str,
}

impl Settings<'_> {
    /// The issuer. There is only one, because any of the keys may sign for it.
    pub(crate) fn issuer(&self) -> Result<&str, SettingError> {
        match self.issuer.trim() {
            "" => Err(SettingError::new("jwt_issuer", REQUIRED)),
            several if several.contains(',') => {
                Err(SettingError::new("jwt_issuer", "must be one issuer, without commas"))
            }
            issuer => Ok(issuer),
        }
    }

    pub(crate) fn audiences(&self) -> Result<Vec<String>, SettingError> {
        names("jwt_audience", self.audience)
    }

    pub(crate) fn clock_skew_s(&self) -> Result<u64, SettingError> {
        let default = Some(CLOCK_SKEW_S);
        number("jwt_clock_skew_s", self.clock_skew_s, default, 0..=CLOCK_SKEW_S_MAX)
    }

    pub(crate) fn routes(&self) -> Result<Vec<RouteConfig>, SettingError> {
        let routes: Vec<RouteConfig> = json("jwt_routes", self.routes)?.unwrap_or_default();
        limit("jwt_routes", routes.len(), ROUTES_MAX)?;
        Ok(routes)
    }

    /// The claims that are passed on, and the name of the header of each.
    pub(crate) fn claim_headers(&self) -> Result<Vec<(ClaimName, HeaderName)>, SettingError> {
        const VARIABLE: &str = "jwt_claim_headers";
        let headers: BTreeMap<ClaimName, String> =
            json(VARIABLE, self.claim_headers)?.unwrap_or_default();
        limit(VARIABLE, headers.len(), HEADERS_MAX)?;
        let mut checked: Vec<(ClaimName, HeaderName)> = Vec::new();
        for (claim, name) in headers {
            let fault = |reason| SettingError::new(VARIABLE, format!("names `{name}`, {reason}"));
            let header = HeaderName::from_bytes(name.as_bytes());
            let header = header.map_err(|_| fault("which is no name of a header"))?;
            if !header.as_str().starts_with("x-") || header.as_str().contains('_') {
                return Err(fault("but the name must begin with `x-` and contain no `_`"));
            }
            if checked.iter().any(|(_, other)| *other == header) {
                return Err(fault("which occurs twice"));
            }
            checked.push((claim, header));
        }
        Ok(checked)
    }
}

fn names(variable: &'static str, text: &str) -> Result<Vec<String>, SettingError> {
    let names: Vec<String> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect();
    if names.is_empty() {
        return Err(SettingError::new(variable, REQUIRED));
    }
    limit(variable, names.len(), NAMES_MAX)?;
    Ok(names)
}

fn limit(variable: &'static str, count: usize, max: usize) -> Result<(), SettingError> {
    if count > max {
        return Err(SettingError::new(variable, format!("has more than {max} entries")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Guard;

    #[test]
    fn an_error_names_the_variable() {
        let good = Settings { issuer: "i", audience: "a, b", ..Settings::default() };
        assert!(Guard::new(&good).is_ok());
        for (wrong, expected) in [
            (Settings { issuer: " ", ..good }, "`jwt_issuer` is required"),
            (Settings { issuer: "i, j", ..good }, "`jwt_issuer` must be one issuer"),
            (Settings { audience: "", ..good }, "`jwt_audience` is required"),
            (Settings { clock_skew_s: "301", ..good }, "`jwt_clock_skew_s` must be"),
            (Settings { clock_skew_s: "-1", ..good }, "`jwt_clock_skew_s` must be"),
            (Settings { routes: "{}", ..good }, "`jwt_routes` is not valid"),
            (Settings { routes: r#"[["/"]]"#, ..good }, "invalid type: sequence"),
            (Settings { routes: r#"[{"path": "a"}]"#, ..good }, "must begin with `/`"),
            (Settings { routes: r#"[{"path": "/a/../b"}]"#, ..good }, "`/a/../b`"),
            (Settings { routes: r#"[{"path": "/admin/*"}]"#, ..good }, "no path matches it"),
            (Settings { routes: r#"[{"path": "/orders/:id"}]"#, ..good }, "no path matches it"),
            (Settings { routes: r#"[{"path": "/orders/{id}"}]"#, ..good }, "no path matches it"),
            (Settings { routes: r#"[{"path": "/a/.../b"}]"#, ..good }, "no path matches it"),
            (Settings { routes: r#"[{"path": "/a?b=c"}]"#, ..good }, "no path matches it"),
            (Settings { routes: r#"[{"path": "/", "methods": ["post"]}]"#, ..good }, "capital"),
            (Settings { routes: r#"[{"path": "/a/", "x": 1}]"#, ..good }, "unknown field `x`"),
            (
                Settings {
                    routes: r#"[{"path": "/", "public": true, "claims": {"a": "b"}}]"#,
                    ..good
                },
                "public",
            ),
            (Settings { routes: r#"[{"path": "/", "claims": {"a": []}}]"#, ..good }, "`a`"),
            (Settings { routes: r#"[{"path": "/", "methods": [" "]}]"#, ..good }, "method"),
            (Settings { claim_headers: r#"{"a": "host"}"#, ..good }, "`host`"),
            (Settings { claim_headers: r#"{"a": "x-a_b"}"#, ..good }, "`x-a_b`"),
            (Settings { claim_headers: r#"{"a": "x-a", "b": "X-A"}"#, ..good }, "twice"),
        ] {
            let fault = Guard::new(&wrong).map(drop).unwrap_err().to_string();
            assert!(fault.contains(expected), "{expected}: {fault}");
        }
    }
}
