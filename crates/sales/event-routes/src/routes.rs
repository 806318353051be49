//! All routes, compiled.

use std::collections::BTreeMap;

use crate::{Config, ConfigError, Route};

/// The routes of a component.
pub struct Routes(BTreeMap<String, Route>);

impl Routes {
    /// Compiles the routes. `secrets` contains the values of [`Config::secret_names`].
    pub fn compile(
        config: Config,
        secrets: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let route = |(index, route): (usize, crate::config::RouteConfig)| {
            let (place, path) = (route.place(index), route.path.trim_matches('/').to_owned());
            let route = Route::compile(route, secrets).map_err(|error| error.within(&place))?;
            Ok((path, route))
        };
        config.routes.into_iter().enumerate().map(route).collect::<Result<_, _>>().map(Self)
    }

    /// The route for a path. Slashes at its ends do not matter, as in Spin.
    pub fn find(&self, path: &str) -> Option<&Route> {
        self.0.get(path.trim_matches('/'))
    }
}
