//! Rules for paths.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;

use crate::ConfigError;
use crate::claim::{ClaimName, one_or_several};
use crate::path;

/// The end of a path that stands for all paths below it, as in Spin's routes.
const WILDCARD: &str = "/...";

/// The variable with the rules.
const VARIABLE: &str = "jwt_routes";

/// One entry of `jwt_routes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteConfig {
    path: String,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    public: bool,
    #[serde(default)]
    claims: BTreeMap<ClaimName, Values>,
}

#[derive(Debug, Clone, Deserialize)]
struct Values(#[serde(deserialize_with = "one_or_several")] Vec<String>);

/// A rule for paths.
#[derive(Debug)]
pub(crate) struct Route {
    /// The path without a slash at its end.
    path: String,
    /// Whether paths below it match, too.
    is_wildcard: bool,
    /// The methods; all if there are none.
    methods: Vec<Method>,
    /// Whether no token is needed.
    pub is_public: bool,
    /// The required claims, each with its accepted values.
    pub claims: Vec<(ClaimName, Vec<String>)>,
}

impl Route {
    pub fn new(config: RouteConfig) -> Result<Self, ConfigError> {
        let fault = |reason| {
            ConfigError::new(VARIABLE, format!("is not valid: path `{}`: {reason}", config.path))
        };
        let (path, is_wildcard) = match config.path.strip_suffix(WILDCARD) {
            Some(path) => (path, true),
            None => (config.path.as_str(), false),
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        if !config.path.starts_with('/') {
            return Err(fault("it must begin with `/`"));
        }
        if !path.is_empty() && path::decode(path).as_deref() != Some(path) {
            return Err(fault(
                "it must be written without escapes and without empty or dot segments",
            ));
        }
        if config.public && !config.claims.is_empty() {
            return Err(fault("it is public, so it cannot require claims"));
        }
        if let Some((claim, _)) = config.claims.iter().find(|(_, values)| values.0.is_empty()) {
            let reason = format!("the claim `{claim}` has no accepted values");
            return Err(fault(&reason));
        }
        let methods = config.methods.iter().map(|method| Method::from_bytes(method.as_bytes()));
        let methods = methods.collect::<Result<_, _>>().map_err(|_| fault("an invalid method"))?;
        let claims = config.claims.into_iter().map(|(name, values)| (name, values.0)).collect();
        Ok(Self { path: path.into(), is_wildcard, methods, is_public: config.public, claims })
    }

    /// Whether the rule applies. `path` is decoded.
    pub fn applies(&self, method: &Method, path: &str) -> bool {
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_path = match path.strip_prefix(self.path.as_str()) {
            Some("") => true,
            Some(rest) => self.is_wildcard && rest.starts_with('/'),
            None => false,
        };
        is_path && (self.methods.is_empty() || self.methods.contains(method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_for_whole_segments() {
        let route = |json: &str| Route::new(serde_json::from_str(json).unwrap()).unwrap();
        let all = route(r#"{"path": "/..."}"#);
        let admin = route(r#"{"path": "/admin/...", "methods": ["GET"]}"#);
        let one = route(r#"{"path": "/one/"}"#);
        let applies = |route: &Route, path| route.applies(&Method::GET, path);
        for path in ["/", "/a", "/a/b/"] {
            assert!(applies(&all, path), "{path}");
        }
        for path in ["/admin", "/admin/", "/admin/a/b"] {
            assert!(applies(&admin, path), "{path}");
            assert!(!admin.applies(&Method::POST, path), "{path}");
        }
        for path in ["/", "/administrator", "/a/admin"] {
            assert!(!applies(&admin, path), "{path}");
        }
        assert!(applies(&one, "/one") && applies(&one, "/one/") && !applies(&one, "/one/a"));
    }
}
