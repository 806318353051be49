//! Routes of `[[trigger.http]]`: exact paths and trailing wildcards.

/// Which paths a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// This path and no other.
    Exact(String),
    /// This path and everything below it; written with a trailing `/...`.
    Below(String),
}

impl Route {
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("route `{text}` must begin with `/`"));
        }
        if text.contains("/:") {
            return Err(format!("route `{text}`: named segments are not supported by this host"));
        }
        match text.strip_suffix("/...") {
            Some(prefix) => Ok(Route::Below(prefix.into())),
            None => Ok(Route::Exact(text.into())),
        }
    }

    pub fn fits(&self, path: &str) -> bool {
        match self {
            Route::Exact(exact) => path == exact,
            Route::Below(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// How specific the route is: an exact one before a wildcard, a longer before a shorter.
    pub fn rank(&self) -> (bool, usize) {
        match self {
            Route::Exact(path) => (true, path.len()),
            Route::Below(prefix) => (false, prefix.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits() {
        let exact = Route::parse("/purchase").unwrap();
        assert!(exact.fits("/purchase") && !exact.fits("/purchases") && !exact.fits("/purchase/"));
        let below = Route::parse("/api/...").unwrap();
        assert!(below.fits("/api") && below.fits("/api/x") && !below.fits("/apix"));
        assert!(Route::parse("/...").unwrap().fits("/any/thing"));
    }

    #[test]
    fn refuses() {
        assert!(Route::parse("purchase").is_err());
        assert!(Route::parse("/a/:b").is_err());
    }
}
