//! Loads an application: resolves its variables, and composes, compiles and links its components.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rayon::prelude::*;
use wasmtime::Engine;
use wasmtime::component::{Component as Compiled, Linker};

use crate::caller::Caller;
use crate::capability::{Capability, Importer};
use crate::files::ReadableFolders;
use crate::guest::Guest;
use crate::http::Services;
use crate::outbound::{Client, ClientTls, HttpClient, Outbound};
use crate::output::Outputs;
use crate::state::{GuestState, StateTemplate};
use crate::{CompileCache, Error, Limits, compose, engine, linker};
use spin_app::CHAINING_DOMAIN;
use spin_app::allowed_hosts::AllowedHosts;
use spin_app::app::{App, Component};
use spin_app::interface::{is_among, is_named_by};
use spin_app::variables::Variables;

/// A loaded application.
pub struct Host {
    app: App,
    loader: Loader,
    guests: RwLock<BTreeMap<String, Guest>>,
}

impl Host {
    /// Loads the components that triggers start, with their dependencies.
    ///
    /// Errors in them are returned here, before the first event is handled.
    pub fn load(
        app: &App,
        variables: &Variables,
        limits: Limits,
        outputs: Outputs,
        cache: &CompileCache,
        capabilities: &[Arc<dyn Capability>],
    ) -> Result<Self, Error> {
        Self::load_with_tls(app, variables, limits, outputs, cache, capabilities, &[])
    }

    /// The same, with settings for TLS of outgoing requests.
    pub fn load_with_tls(
        app: &App,
        variables: &Variables,
        limits: Limits,
        outputs: Outputs,
        cache: &CompileCache,
        capabilities: &[Arc<dyn Capability>],
        client_tls: &[ClientTls],
    ) -> Result<Self, Error> {
        app.check_support()?;
        let services = Arc::new(OnceLock::new());
        let limits = Arc::new(limits);
        let mut capabilities = capabilities.to_vec();
        capabilities.push(Arc::new(HttpClient));
        let engine = engine::build(&limits, cache)?;
        let loader = Loader {
            linker: linker::build(&engine, &capabilities)
                .map_err(|e| Error::Engine(format!("cannot define the imports: {e:#}")))?,
            engine,
            client: Client::new(&limits, client_tls)
                .map_err(|message| Error::Engine(format!("TLS of outgoing requests: {message}")))?,
            variables: variables.clone(),
            limits: limits.clone(),
            capabilities,
            outputs,
            services,
        };
        let guests = loader.load_all(app)?;
        let services = Services::new(app, &guests, &limits)?;
        guests.values().try_for_each(|guest| check_chained(guest, &services))?;
        // `set` cannot fail: the cell was created above and is not set elsewhere.
        let _ = loader.services.set(services);
        Ok(Self { app: app.clone(), loader, guests: RwLock::new(guests) })
    }

    /// Loads the files of the components again. New requests, these callers and [`Host::guest`] then use
    /// the new builds; what is in progress finishes on the old ones. If there is an error, nothing changes.
    pub fn reload(&self, callers: &[Box<dyn Caller>]) -> Result<(), Error> {
        let guests = self.loader.load_all(&self.app)?;
        let mut replacements = Vec::with_capacity(callers.len());
        for caller in callers {
            if let Some(guest) = guests.get(&caller.component()) {
                replacements.push(caller.prepare(guest.clone()).map_err(Error::Caller)?);
            }
        }
        self.services().replace(&guests)?;
        *self.guests.write().unwrap_or_else(PoisonError::into_inner) = guests;
        replacements.into_iter().for_each(|replace| replace());
        Ok(())
    }

    /// A loaded component.
    pub fn guest(&self, id: &str) -> Option<Guest> {
        self.guests.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The HTTP components, ready to serve.
    pub fn services(&self) -> Services {
        self.loader.services.get().cloned().unwrap_or_default()
    }
}

/// Rejects a component that may call a component which is not loaded, or its own application if that
/// has no HTTP components here.
fn check_chained(guest: &Guest, services: &Services) -> Result<(), Error> {
    if guest.template.allowed.names_self() && !services.has_routes() {
        let error = spin_app::Error::AllowedHost {
            component: guest.id.to_string(),
            entry: "http://self".into(),
            message: "no HTTP component of the application runs here".into(),
        };
        return Err(error.into());
    }
    let missing = guest.template.allowed.chained().find(|id| services.get(id).is_none());
    missing.map_or(Ok(()), |id| {
        let error = spin_app::Error::AllowedHost {
            component: guest.id.to_string(),
            entry: format!("http://{id}{CHAINING_DOMAIN}"),
            message: format!(
                "the HTTP component `{id}` does not run here: run it too, or allow the address at \
                 which it runs"
            ),
        };
        Err(error.into())
    })
}

/// Why a component cannot be compiled. A component that needs more memory than the pool allows is
/// recognized by the error's text, because wasmtime has no error type for it.
fn compile_error(fault: &str, memory_bytes_max: usize) -> String {
    if fault.contains("memory index") && fault.contains("exceeds the limit") {
        format!(
            "it needs more memory than an instance may have, {memory_bytes_max} bytes: raise \
             --max-instance-memory ({fault})"
        )
    } else {
        format!("not a valid component: {fault}")
    }
}

fn component_error(component: &Component, message: String) -> Error {
    Error::Component {
        component: component.id.clone(),
        wasm: component.source.to_string(),
        message,
    }
}

/// The state for loading any component.
struct Loader {
    engine: Engine,
    linker: Linker<GuestState>,
    client: Client,
    variables: Variables,
    limits: Arc<Limits>,
    capabilities: Vec<Arc<dyn Capability>>,
    outputs: Outputs,
    services: Arc<OnceLock<Services>>,
}

impl Loader {
    /// Loads the components that triggers start, in parallel on all processors.
    fn load_all(&self, app: &App) -> Result<BTreeMap<String, Guest>, Error> {
        let components: Vec<&Component> = app.started().collect();
        components.iter().try_for_each(|component| self.prepare_provided(component))?;
        let loaded: Vec<_> = components.par_iter().map(|component| self.load(component)).collect();
        let ids = components.iter().map(|component| component.id.clone());
        ids.zip(loaded).map(|(id, guest)| Ok((id, guest?))).collect()
    }

    /// Prepares what the application says that the host provides, so that a client connects while
    /// the components are compiled. Whether a component may import it is decided when its imports
    /// are known.
    fn prepare_provided(&self, component: &Component) -> Result<(), Error> {
        let is_provided = |capability: &&Arc<dyn Capability>| {
            let named =
                |name: &String| capability.interfaces().iter().any(|i| is_named_by(name, i));
            component.provide.iter().any(named)
        };
        let allowed = self.allowed_hosts(component)?;
        let variables = self.variables.render_all(&component.config)?;
        let importer = Importer {
            component: &component.id,
            allowed: &allowed,
            variables: &variables,
            key_value_stores: &component.metadata.key_value_stores,
        };
        for capability in self.capabilities.iter().filter(is_provided) {
            if capability.check(&importer).is_ok() {
                let prepared = capability.prepare(&importer);
                prepared.map_err(|message| component_error(component, message))?;
            }
        }
        Ok(())
    }

    fn prepare(
        &self,
        capability: &dyn Capability,
        component: &Component,
        template: &StateTemplate,
    ) -> Result<(), Error> {
        let StateTemplate { allowed, variables, key_value_stores, .. } = template;
        let importer = Importer { component: &component.id, allowed, variables, key_value_stores };
        let prepared = capability.check(&importer).and_then(|()| capability.prepare(&importer));
        prepared.map_err(|message| component_error(component, message))
    }

    fn load(&self, component: &Component) -> Result<Guest, Error> {
        let template = self.template(component)?;
        let fault = |message: String| component_error(component, message);
        let provided: Vec<&str> =
            self.capabilities.iter().flat_map(|c| c.interfaces()).copied().collect();
        let bytes = compose::compose(component, &provided)?;
        let compiled = Compiled::from_binary(&self.engine, &bytes).map_err(|e| {
            fault(compile_error(&format!("{e:#}"), self.limits.instance_memory_bytes_max))
        })?;
        for (import, _) in compiled.component_type().imports(&self.engine) {
            let is_its = |c: &&Arc<dyn Capability>| is_among(c.interfaces(), import);
            if let Some(capability) = self.capabilities.iter().find(is_its) {
                self.prepare(&**capability, component, &template)?;
            }
        }
        let pre = linker::link(&self.linker, &compiled, &provided).map_err(fault)?;
        Ok(Guest { id: component.id.as_str().into(), engine: self.engine.clone(), pre, template })
    }

    fn allowed_hosts(&self, component: &Component) -> Result<AllowedHosts, Error> {
        let entries = &component.metadata.allowed_outbound_hosts;
        Ok(AllowedHosts::parse(&component.id, entries, &self.variables)?)
    }

    fn template(&self, component: &Component) -> Result<StateTemplate, Error> {
        let allowed = Arc::new(self.allowed_hosts(component)?);
        let components = Arc::downgrade(&self.services);
        let files = ReadableFolders::new(component);
        let files = files.map_err(|message| component_error(component, message))?;
        Ok(StateTemplate {
            environment: Arc::new(component.env.clone().into_iter().collect()),
            variables: Arc::new(self.variables.render_all(&component.config)?),
            outbound: Outbound {
                component: component.id.as_str().into(),
                allowed: allowed.clone(),
                client: self.client.clone(),
                components,
                limits: self.limits.clone(),
            },
            allowed,
            output: self.outputs.for_component(&component.id)?,
            memory_bytes_max: self.limits.instance_memory_bytes_max,
            files: Arc::new(files),
            key_value_stores: component.metadata.key_value_stores.clone().into(),
            shared: self.capabilities.iter().filter_map(|capability| capability.shared()).collect(),
        })
    }
}
