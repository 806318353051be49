//! The options of a run: the flags that all programs have, and the runtime configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use component_host::output::{Follow, Outputs};
use component_host::{ClientTls, CompileCache, Limits};
use spin_app::App;
use spin_app::variables::Variables;
use stores::StoresConfig;

use crate::CommonArgs;
use crate::args::Folder;
use crate::runtime_config::RuntimeConfig;

/// The supported types of triggers.
pub const TRIGGER_TYPES: [&str; 4] = ["http", "kafka", "amqp", "redis"];

/// The options with which an application runs. A flag takes precedence over the file.
pub struct RunOptions {
    args: CommonArgs,
    file: RuntimeConfig,
}

impl RunOptions {
    /// Reads the runtime configuration file, if one is specified.
    pub fn read(args: CommonArgs) -> Result<Self> {
        let file = args.variables.runtime_config()?;
        Ok(Self { args, file })
    }

    /// Checks that all triggers of the application are supported, and marks the imports that
    /// `--provide` names as provided by the host.
    pub fn apply(&self, app: &mut App) -> Result<()> {
        app.check_triggers(&TRIGGER_TYPES)?;
        for interface in app.provide(&self.args.provide) {
            tracing::warn!(interface, "--provide: no component has a dependency for it");
        }
        Ok(())
    }

    /// The value of this variable from a flag, a provider or the environment.
    pub fn given(&self, app: &App, variable: &str) -> Result<Option<String>> {
        self.args.variables.given(app, variable, &self.file)
    }

    /// The values of the variables; those that the application uses must have one. Those in `known` have
    /// the next precedence after `--variable`.
    pub fn variables(&self, app: &App, known: BTreeMap<String, String>) -> Result<Variables> {
        let variables = self.args.variables.resolve(app, known, &self.file)?;
        variables.check(app)?;
        Ok(variables)
    }

    /// The limits of the host, with those that are configured here.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        if let Some(bytes) = self.args.max_instance_memory.or(self.file.max_instance_memory) {
            limits.instance_memory_bytes_max = bytes;
        }
        limits
    }

    /// The settings of databases and stores.
    pub fn stores(&self) -> StoresConfig {
        self.file.stores()
    }

    /// The settings for TLS of the application's outgoing requests.
    pub fn client_tls(&self, app: &App) -> Result<Vec<ClientTls>> {
        let sections = self.file.client_tls()?;
        // No error: the program of another trigger may run a part of the application.
        let is_unknown = |id: &&String| app.components.iter().all(|component| component.id != **id);
        for id in sections.iter().flat_map(|section| &section.components).filter(is_unknown) {
            tracing::warn!(component = id, "client_tls: there is no component with this id");
        }
        Ok(sections)
    }

    /// Where compiled components are stored.
    pub fn cache(&self) -> CompileCache {
        match &self.args.cache {
            _ if self.args.disable_cache => CompileCache::Disabled,
            Some(file) => CompileCache::Configured(file.clone()),
            None => CompileCache::UserFolder,
        }
    }

    /// How long new requests are accepted after the signal to end.
    pub fn linger(&self) -> Duration {
        Duration::from_secs(self.args.linger_s.unwrap_or_default())
    }

    /// Where the output of components goes. `state` is the state folder if none is specified.
    pub fn outputs(&self, app: &App, state: Option<PathBuf>) -> Result<Outputs> {
        let dir = self.log_dir(state);
        let follow = match (self.args.quiet, self.args.follow.is_empty()) {
            (true, _) => Follow::None,
            (false, true) => Follow::All,
            (false, false) => Follow::Only(self.args.follow.iter().cloned().collect()),
        };
        let outputs = Outputs::new(app, dir.as_deref(), follow)?;
        if self.args.truncate_logs {
            outputs.truncate(app)?;
        }
        if let Some(dir) = dir {
            printing::note(format_args!(
                "Logging component stdio to \"{}\"",
                dir.join("").display()
            ));
        }
        Ok(outputs)
    }

    fn log_dir(&self, state: Option<PathBuf>) -> Option<PathBuf> {
        let folder = |args, file| Folder::new(args).or(Folder::new(file));
        let state = folder(&self.args.state_dir, &self.file.state_dir).path_or(state);
        let logs = state.map(|state| state.join("logs"));
        folder(&self.args.log_dir, &self.file.log_dir).path_or(logs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_precedes_the_file_and_a_log_folder_the_state_folder() {
        let dir = |args: CommonArgs, file: &str| {
            let options = RunOptions { args, file: toml::from_str(file).unwrap() };
            options.log_dir(Some("app/.spin".into())).map(|dir| dir.display().to_string())
        };
        let state = |dir: &str| CommonArgs { state_dir: Some(dir.into()), ..Default::default() };
        let log = |dir: &str| CommonArgs { log_dir: Some(dir.into()), ..Default::default() };
        assert_eq!(dir(CommonArgs::default(), "").as_deref(), Some("app/.spin/logs"));
        assert_eq!(dir(state("s"), "state_dir = \"t\"").as_deref(), Some("s/logs"));
        assert_eq!(dir(state(""), ""), None);
        assert_eq!(dir(log("l"), "log_dir = \"m\"").as_deref(), Some("l"));
        assert_eq!(dir(log(""), "log_dir = \"m\""), None);
        assert_eq!(dir(CommonArgs::default(), "log_dir = \"m\"").as_deref(), Some("m"));
        assert_eq!(dir(CommonArgs::default(), "state_dir = \"\""), None);
    }
}
