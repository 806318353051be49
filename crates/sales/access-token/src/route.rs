//! Rules for paths.

use std::collections::BTreeMap;

use component_settings::SettingError;
use http::Method;
use http_text::PathPattern;
use serde::Deserialize;

use crate::claim::{ClaimName, one_or_several};

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
    path: PathPattern,
    /// The methods; all if there are none.
    methods: Vec<Method>,
    /// Whether no token is needed.
    pub is_public: bool,
    /// The required claims, each with its accepted values.
    pub claims: Vec<(ClaimName, Vec<String>)>,
}

impl Route {
    pub fn new(config: RouteConfig) -> Result<Self, SettingError> {
        let fault = |reason| {
            SettingError::new(VARIABLE, format!("is not valid: path `{}`: {reason}", config.path))
        };
        let path = PathPattern::parse(&config.path).map_err(fault)?;
        if config.public && !config.claims.is_empty() {
            return Err(fault("it is public, so it cannot require claims"));
        }
        if let Some((claim, _)) = config.claims.iter().find(|(_, values)| values.0.is_empty()) {
            let reason = format!("the claim `{claim}` has no accepted values");
            return Err(fault(&reason));
        }
        let methods = config.methods.iter().map(|method| Method::from_bytes(method.as_bytes()));
        let methods =
            methods.collect::<Result<Vec<_>, _>>().map_err(|_| fault("an invalid method"))?;
        if methods.iter().any(|method| method.as_str().contains(|c: char| c.is_ascii_lowercase())) {
            return Err(fault("methods must be written in capital letters"));
        }
        let claims = config.claims.into_iter().map(|(name, values)| (name, values.0)).collect();
        Ok(Self { path, methods, is_public: config.public, claims })
    }

    /// Whether the rule applies. `path` is decoded.
    pub fn applies(&self, method: &Method, path: &str) -> bool {
        self.path.matches(path) && (self.methods.is_empty() || self.has_method(method))
    }

    /// Whether the method is listed. `HEAD` gets the header fields of `GET`, so a rule for `GET` also
    /// applies to it.
    fn has_method(&self, method: &Method) -> bool {
        let has = |method| self.methods.contains(method);
        has(method) || (method == Method::HEAD && has(&Method::GET))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_get_is_also_for_head() {
        let route = |methods: &str| {
            let json = format!(r#"{{"path": "/a", "methods": {methods}}}"#);
            Route::new(serde_json::from_str(&json).unwrap()).unwrap()
        };
        let applies = |methods, method| route(methods).applies(&method, "/a");
        assert!(applies(r#"["GET"]"#, Method::HEAD) && applies(r#"["HEAD"]"#, Method::HEAD));
        assert!(!applies(r#"["POST"]"#, Method::HEAD) && !applies(r#"["HEAD"]"#, Method::GET));
    }
}
