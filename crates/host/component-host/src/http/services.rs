//! The HTTP components of an application, by id and by route.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body::Body;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::collector;
use super::exchange::{Answer, without_content};
use super::metrics::{HttpMetrics, Refusals};
use super::problem::{Problem, text};
use super::route::{Route, is_reserved};
use super::service::HttpService;
use super::spin_fields;
use super::static_response::StaticResponse;
use crate::guest::Guest;
use crate::outbound::ChainedComponents;
use crate::{Error, Limits};
use spin_app::app::{App, Trigger};
use spin_app::origin::Place;

/// The path that answers `OK` while the process lives, as in Spin.
pub const HEALTH_PATH: &str = "/.well-known/spin/health";

/// The interval in which it is checked whether instances still work after the last answer.
const WORK_CHECK: Duration = Duration::from_millis(5);

/// The client address of a request that a component sends to its own application.
const OWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The HTTP components of an application. Cheap to clone.
#[derive(Clone, Default)]
pub struct Services {
    by_id: Arc<BTreeMap<String, Arc<HttpService>>>,
    /// In the order in which they are tried.
    routes: Arc<Vec<(Route, Target)>>,
    /// Counts the requests that the host answers before they reach a component.
    unrouted: Arc<Refusals>,
}

/// What answers the requests of a route.
enum Target {
    Component(Arc<HttpService>),
    Static(StaticResponse),
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
        let mut routes = Routes::default();
        for trigger in app.triggers("http") {
            let place = app.origin.place(&format!("trigger.{}", trigger.id));
            let fault = |message: String| spin_app::Error::Manifest {
                place: place.clone(),
                message: format!("trigger.http: {message}"),
            };
            let (route, response) = settings(trigger).map_err(fault)?;
            let (name, target) = match response {
                Some(response) => (trigger.id.as_str(), Target::Static(response)),
                None => {
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
                    (id, Target::Component(service))
                }
            };
            if let Some(route) = route {
                routes.add(route, name, target, &place);
            }
        }
        let routes = routes.in_order();
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

    /// Whether requests of clients can reach anything.
    pub(crate) fn has_routes(&self) -> bool {
        !self.routes.is_empty()
    }

    /// Answers the request of a client by the first route that matches its path.
    pub(crate) async fn dispatch<B>(&self, mut request: Request<B>, peer: SocketAddr) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<HttpError>,
    {
        let path = request.uri().path();
        if path == HEALTH_PATH {
            return text(StatusCode::OK, "text/plain", "OK".into());
        }
        let found = self.routes.iter().find(|(route, _)| route.matches(path).is_some());
        match found.filter(|_| !is_reserved(path)) {
            Some((route, Target::Component(service))) => {
                spin_fields::add(&mut request, route, peer);
                service.call(request).await
            }
            Some((_, Target::Static(response))) => {
                without_content(request.method(), response.response())
            }
            None => {
                self.unrouted.count(Problem::NotFound);
                Problem::NotFound.response()
            }
        }
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

    /// Waits until no instance has anything to do: some continue to work after an answer, and may call
    /// others then.
    pub(crate) async fn finish(&self) {
        while self.working() > 0 {
            tokio::time::sleep(WORK_CHECK).await;
        }
    }

    /// The number of instances that have something to do.
    pub(crate) fn working(&self) -> i64 {
        self.by_id.values().map(|service| service.working()).sum()
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

    fn call_routed(
        &self,
        request: Request<WasiBody>,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>> {
        let services = self.get().filter(|services| services.has_routes())?.clone();
        Some(async move { services.dispatch(request, OWN).await }.boxed())
    }
}

/// The routes, in the order of the triggers.
#[derive(Default)]
struct Routes<'a> {
    list: Vec<(Route, &'a str, Target)>,
    /// The position of the route for each pattern.
    by_pattern: HashMap<String, usize>,
}

impl<'a> Routes<'a> {
    /// Adds a route of the component or trigger `name`. As in Spin, the last one of routes with the
    /// same text counts, and the first one of routes that match the same paths otherwise.
    fn add(&mut self, route: Route, name: &'a str, target: Target, place: &Place) {
        if route.is_reserved() {
            tracing::warn!(%place, "the route of `{name}` matches nothing: the host serves the paths below /.well-known/spin/");
        }
        let at = *self.by_pattern.entry(route.pattern()).or_insert(self.list.len());
        match self.list.get_mut(at) {
            None => self.list.push((route, name, target)),
            Some(same) if same.0.written() == route.written() => {
                let other = same.1;
                tracing::warn!(%place, "`{other}` and `{name}` have the same route; its requests go to `{name}`, which comes last");
                *same = (route, name, target);
            }
            Some((other, first, _)) => {
                let (other, route) = (other.written(), route.written());
                tracing::warn!(%place, "the route `{route}` of `{name}` matches nothing: its requests go to `{first}`, whose route `{other}` comes first");
            }
        }
    }

    fn in_order(mut self) -> Vec<(Route, Target)> {
        self.list.sort_by_cached_key(|(route, ..)| route.rank());
        self.list.into_iter().map(|(route, _, target)| (route, target)).collect()
    }
}

/// Rejects HTTP triggers that cannot be served, as far as this can be determined without their
/// components.
pub fn check_triggers(app: &App) -> Result<(), spin_app::Error> {
    check_settings(app)?;
    app.triggers("http").try_for_each(|trigger| match settings(trigger) {
        Ok(_) => Ok(()),
        Err(message) => Err(spin_app::Error::Manifest {
            place: app.origin.place(&format!("trigger.{}", trigger.id)),
            message: format!("trigger.http: {message}"),
        }),
    })
}

/// Rejects settings in `[application.trigger.http]`, except the default of `base`.
fn check_settings(app: &App) -> Result<(), spin_app::Error> {
    let settings = app.metadata.triggers.get("http").into_iter().flatten();
    for (key, value) in settings {
        let message = match (key.as_str(), value.as_str()) {
            ("base", Some("/")) => continue,
            // As in Spin.
            ("base", _) => "`base` is not supported; write it into each `route`".into(),
            _ => format!("there is no setting `{key}`"),
        };
        return Err(spin_app::Error::Manifest {
            place: app.origin.place("application.trigger.http"),
            message: format!("application.trigger.http: {message}"),
        });
    }
    Ok(())
}

/// The public route of the trigger, which is `None` if only other components may call it, and its
/// response if it has no component.
fn settings(trigger: &Trigger) -> Result<(Option<Route>, Option<StaticResponse>), String> {
    let settings = trigger.settings();
    for (key, value) in &settings {
        match key.as_str() {
            "route" | "static_response" => {}
            // The two names of Spin's default.
            "executor"
                if [json!({ "type": "http" }), json!({ "type": "spin" })].contains(value) => {}
            "executor" => {
                return Err(
                    "only `executor = { type = \"http\" }` is supported by this host".into()
                );
            }
            _ => return Err(format!("there is no setting `{key}`")),
        }
    }
    let route = match settings.get("route") {
        Some(Value::String(text)) => Some(Route::parse(text)?),
        Some(route) if *route == json!({ "private": true }) => None,
        Some(_) => return Err("`route` must be a path or { private = true }".into()),
        None => return Err("`route` is missing".into()),
    };
    let response = settings.get("static_response").map(StaticResponse::new).transpose();
    let response = response.map_err(|message| format!("static_response: {message}"))?;
    match (trigger.component(), &response) {
        (Some(_), Some(_)) | (None, None) => {
            Err("either `component` or `static_response` must be set".into())
        }
        _ => Ok((route, response)),
    }
}
