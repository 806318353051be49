//! The HTTP components of an application, by id and by route.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use ::http::{Request, Response};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use wasmtime_wasi_http::WasiBody;

use super::collector;
use super::metrics::{HttpMetrics, Refusals};
use super::route::{Route, is_reserved};
use super::service::HttpService;
use super::spin_fields;
use crate::guest::Guest;
use crate::outbound::ChainedComponents;
use crate::{Error, Limits};
use spin_app::app::{App, Trigger};

/// The HTTP components of an application. Cheap to clone.
#[derive(Clone, Default)]
pub struct Services {
    by_id: Arc<BTreeMap<String, Arc<HttpService>>>,
    /// The most specific route first.
    routes: Arc<Vec<(Route, Arc<HttpService>)>>,
    /// Counts the requests that the host answers before they reach a component.
    unrouted: Arc<Refusals>,
}

impl Services {
    /// Creates a service for each component that an HTTP trigger starts.
    pub(crate) fn new(
        app: &App,
        guests: &BTreeMap<String, Guest>,
        limits: &Arc<Limits>,
    ) -> Result<Self, Error> {
        check_settings(app)?;
        let mut by_id: BTreeMap<String, Arc<HttpService>> = BTreeMap::new();
        let mut routes: BTreeMap<Route, (&str, Arc<HttpService>)> = BTreeMap::new();
        for trigger in app.triggers("http") {
            let place = app.origin.place(&format!("trigger.{}", trigger.id));
            let fault = |message: String| spin_app::Error::Manifest {
                place: place.clone(),
                message: format!("trigger.http: {message}"),
            };
            let route = route(trigger).map_err(fault)?;
            let id = trigger.component().unwrap_or_default();
            let Some(guest) = guests.get(id) else {
                return Err(fault(format!("component `{id}` is not loaded")).into());
            };
            let service = match by_id.get(id) {
                Some(service) => Arc::clone(service),
                None => {
                    let service = Arc::new(HttpService::new(guest, limits, guests.len())?);
                    by_id.insert(id.to_owned(), service.clone());
                    service
                }
            };
            let Some(route) = route else { continue };
            if route.is_reserved() {
                tracing::warn!(%place, "the route of `{id}` matches nothing: the host serves the paths below /.well-known/spin/");
            }
            if let Some((other, _)) = routes.insert(route, (id, service)) {
                tracing::warn!(%place, "`{other}` and `{id}` have the same route; its requests go to `{id}`, which comes last");
            }
        }
        let routes = routes.into_iter().map(|(route, (_, service))| (route, service));
        let mut routes: Vec<_> = routes.collect();
        routes.sort_by_key(|(route, _)| std::cmp::Reverse(route.rank()));
        Ok(Self { by_id: Arc::new(by_id), routes: Arc::new(routes), unrouted: Arc::default() })
    }

    /// Uses these builds for requests from now on. If one of them is not an HTTP component, nothing
    /// changes.
    pub(crate) fn replace(&self, guests: &BTreeMap<String, Guest>) -> Result<(), Error> {
        let mut ready = Vec::new();
        for (id, service) in &*self.by_id {
            if let Some(guest) = guests.get(id) {
                ready.push((service, service.prepare(guest)?));
            }
        }
        ready.into_iter().for_each(|(service, pool)| service.replace(pool));
        Ok(())
    }

    /// The component with this id, whether it has a public route or not.
    pub fn get(&self, id: &str) -> Option<&Arc<HttpService>> {
        self.by_id.get(id)
    }

    /// The most specific route that matches the path, and its component.
    pub(crate) fn route(&self, path: &str) -> Option<&(Route, Arc<HttpService>)> {
        if is_reserved(path) {
            return None;
        }
        self.routes.iter().find(|(route, _)| route.rest(path).is_some())
    }

    /// Registers the metrics with the prefix `spin_http_` and the label `component`. Without HTTP
    /// components there are none.
    pub fn register(&self, registry: &mut Registry) {
        let services = self.by_id.values().map(|service| service.metrics()).collect();
        let metrics = HttpMetrics { services, unrouted: self.unrouted() };
        collector::register(metrics, registry);
    }

    /// Counts the requests that the host answers before they reach a component.
    pub(super) fn unrouted(&self) -> Arc<Refusals> {
        self.unrouted.clone()
    }

    /// Notes that the server has ended.
    pub(crate) fn close(&self) {
        self.by_id.values().for_each(|service| service.close());
    }
}

/// The cell is set once all components are loaded.
impl ChainedComponents for OnceLock<Services> {
    fn call(
        &self,
        id: &str,
        mut request: Request<WasiBody>,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>> {
        let service = Arc::clone(self.get()?.get(id)?);
        spin_fields::add_chained(&mut request);
        Some(async move { service.call(request).await }.boxed())
    }
}

/// Rejects HTTP triggers that cannot be served, as far as this can be determined without their
/// components.
pub fn check_triggers(app: &App) -> Result<(), spin_app::Error> {
    check_settings(app)?;
    app.triggers("http").try_for_each(|trigger| match route(trigger) {
        Ok(_) => Ok(()),
        Err(message) => Err(spin_app::Error::Manifest {
            place: app.origin.place(&format!("trigger.{}", trigger.id)),
            message: format!("trigger.http: {message}"),
        }),
    })
}

/// Rejects settings in `[application.trigger.http]` that this host does not support.
fn check_settings(app: &App) -> Result<(), spin_app::Error> {
    let settings = app.metadata.triggers.get("http").into_iter().flatten();
    for (key, value) in settings {
        let message = match (key.as_str(), value.as_str()) {
            ("base", Some("/")) => continue,
            ("base", _) => {
                "`base` is not supported by this host; write it into each `route`".into()
            }
            _ => format!("there is no setting `{key}`"),
        };
        return Err(spin_app::Error::Manifest {
            place: app.origin.place("application.trigger.http"),
            message: format!("application.trigger.http: {message}"),
        });
    }
    Ok(())
}

/// The public route of the trigger; `None` if only other components may call it.
fn route(trigger: &Trigger) -> Result<Option<Route>, String> {
    let settings = trigger.settings();
    for (key, value) in &settings {
        match key.as_str() {
            "route" => {}
            // The two names of Spin's default.
            "executor"
                if [json!({ "type": "http" }), json!({ "type": "spin" })].contains(value) => {}
            "executor" => {
                return Err(
                    "only `executor = { type = \"http\" }` is supported by this host".into()
                );
            }
            "static_response" => {
                return Err("`static_response` is not supported by this host".into());
            }
            _ => return Err(format!("there is no setting `{key}`")),
        }
    }
    match settings.get("route") {
        Some(Value::String(text)) => Route::parse(text).map(Some),
        Some(route) if *route == json!({ "private": true }) => Ok(None),
        Some(_) => Err("`route` must be a path or { private = true }".into()),
        None => Err("`route` is missing".into()),
    }
}
