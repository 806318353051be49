//! Rules for paths.

use std::collections::BTreeMap;

use http::Method;
use http_text::decode_path;
use serde::Deserialize;

use crate::ConfigError;
use crate::claim::{ClaimName, one_or_several};

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
        if !path.is_empty() && decode_path(path).as_deref() != Some(path) {
            return Err(fault(
                "it must be written without escapes and without empty or dot segments",
            ));
        }
        if path.split('/').any(is_pattern) {
            return Err(fault(
                "no path matches it: the only pattern is `/...` at the end, and a query is not part \
                 of a path",
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
        let methods =
            methods.collect::<Result<Vec<_>, _>>().map_err(|_| fault("an invalid method"))?;
        if methods.iter().any(|method| method.as_str().contains(|c: char| c.is_ascii_lowercase())) {
            return Err(fault("methods must be written in capital letters"));
        }
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
        is_path && (self.methods.is_empty() || self.has_method(method))
    }

    /// Whether the method is listed. `HEAD` gets the header fields of `GET`, so a rule for `GET` also
    /// applies to it.
    fn has_method(&self, method: &Method) -> bool {
        let has = |method| self.methods.contains(method);
        has(method) || (method == Method::HEAD && has(&Method::GET))
    }
}

/// Whether a segment of a rule's path looks like a pattern of another syntax. It would be compared
/// as it is, and the rule would never apply.
fn is_pattern(segment: &str) -> bool {
    segment.starts_with([':', '{']) || segment.contains(['*', '?', '#']) || segment.contains("...")
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
