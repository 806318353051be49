//! All routes, compiled.

use std::collections::BTreeMap;

use crate::{Config, ConfigError, Route};

/// The routes of a component.
pub struct Routes {
    routes: Vec<Route>,
    paths: BTreeMap<String, Target>,
}

/// The route of a path, by its index.
#[derive(Clone, Copy)]
enum Target {
    One(usize),
    Batch(usize),
}

/// What the requests to a path contain.
#[derive(Clone, Copy)]
pub enum Found<'r> {
    /// A body of the format of the route.
    One(&'r Route),
    /// Several bodies, each with its own result.
    Batch(&'r Route),
}

impl Routes {
    /// Compiles the routes. `secrets` contains the values of [`Config::secret_names`].
    pub fn compile(
        config: Config,
        secrets: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let mut compiled = Self { routes: Vec::new(), paths: BTreeMap::new() };
        for (index, route) in config.routes.into_iter().enumerate() {
            let place = route.place(index);
            compiled.paths.insert(key(&route.path), Target::One(index));
            if let Some(batch) = &route.batch {
                compiled.paths.insert(key(&batch.path), Target::Batch(index));
            }
            let route = Route::compile(route, secrets).map_err(|error| error.within(&place))?;
            compiled.routes.push(route);
        }
        Ok(compiled)
    }

    /// The route for a path. Slashes at its ends do not matter, as in Spin.
    pub fn find(&self, path: &str) -> Option<Found<'_>> {
        match *self.paths.get(path.trim_matches('/'))? {
            Target::One(index) => self.routes.get(index).map(Found::One),
            Target::Batch(index) => self.routes.get(index).map(Found::Batch),
        }
    }
}

impl<'r> Found<'r> {
    /// The route.
    pub fn route(self) -> &'r Route {
        match self {
            Self::One(route) | Self::Batch(route) => route,
        }
    }
}

fn key(path: &str) -> String {
    path.trim_matches('/').to_owned()
}
