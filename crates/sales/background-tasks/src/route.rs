//! The requests that can become tasks.

use http::Method;
use http_text::{PathPattern, decode_path};
use serde::Deserialize;

/// The methods of requests that can become tasks, if a route names none. The others do no work.
const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// An entry of `tasks_routes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteConfig {
    path: String,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    always: bool,
}

/// Requests that become tasks.
#[derive(Debug)]
pub(crate) struct Route {
    path: PathPattern,
    methods: Vec<Method>,
    /// Whether its requests become tasks without a preference for it.
    pub is_always: bool,
}

impl Route {
    /// All requests that prefer it.
    pub fn all() -> Self {
        Self { path: PathPattern::all(), methods: METHODS.into(), is_always: false }
    }

    /// The error is a message.
    pub fn new(config: RouteConfig) -> Result<Self, String> {
        let RouteConfig { path: text, methods, always } = config;
        let fault = |reason: &str| format!("path `{text}`: {reason}");
        let path = PathPattern::parse(&text).map_err(fault)?;
        let method = |name: &String| METHODS.into_iter().find(|method| method.as_str() == name);
        let methods = match methods.as_slice() {
            [] => Some(METHODS.into()),
            names => names.iter().map(method).collect(),
        };
        let methods =
            methods.ok_or_else(|| fault("methods are GET, POST, PUT, PATCH and DELETE"))?;
        Ok(Self { path, methods, is_always: always })
    }

    /// Whether the route is for this request. A path that cannot be decoded matches no route.
    pub fn applies(&self, method: &Method, path: &str) -> bool {
        let is_path = decode_path(path).is_some_and(|path| self.path.matches(&path));
        is_path && self.methods.contains(method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(json: &str) -> Result<Route, String> {
        Route::new(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_route_is_for_whole_segments_and_its_methods() {
        let reports = route(r#"{"path": "/reports/...", "methods": ["POST"]}"#).unwrap();
        for path in ["/reports", "/reports/", "/reports/a/b", "/%72eports"] {
            assert!(reports.applies(&Method::POST, path), "{path}");
            assert!(!reports.applies(&Method::GET, path), "{path}");
        }
        for path in ["/", "/reportsx", "/a/reports", "/reports/../a", "/reports//a"] {
            assert!(!reports.applies(&Method::POST, path), "{path}");
        }
        assert!(
            Route::all().applies(&Method::GET, "/") && Route::all().applies(&Method::PUT, "/a")
        );
        assert!(!Route::all().applies(&Method::OPTIONS, "/a"));
    }

    #[test]
    fn wrong_routes_are_refused() {
        for json in [
            r#"{"path": "reports"}"#,
            r#"{"path": "/:id"}"#,
            r#"{"path": "/a", "methods": ["post"]}"#,
            r#"{"path": "/a", "methods": ["HEAD"]}"#,
        ] {
            assert!(route(json).is_err(), "{json}");
        }
    }
}
