//! Values of an application's variables, in Spin's order: `--variable`, the providers of the
//! runtime configuration file, the environment, the default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use component_host::App;
use component_host::variables::Variables;
use serde_json::Value;

use crate::runtime_config::{Provider, RuntimeConfig};

/// Prefix of environment variables that are values.
const PREFIX: &str = "SPIN_VARIABLE";

/// The file that is read beside the environment, if it is there.
const DOTENV: &str = ".env";

/// Where values of variables come from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct VariableArgs {
    /// Set a variable of the application: NAME=VALUE, or NAME=@FILE for a file's content; or
    /// several at once by @FILE.json or @FILE.toml. May be repeated.
    #[arg(long = "variable", value_name = "NAME=VALUE")]
    pub variables: Vec<Given>,
    /// Read where variables come from, and other settings of all triggers, from this file.
    #[arg(long, value_name = "FILE", env = "RUNTIME_CONFIG_FILE")]
    pub runtime_config_file: Option<PathBuf>,
}

/// One `--variable`. Files are read when the values are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// NAME=VALUE.
    Value(String, String),
    /// NAME=@FILE.
    File(String, PathBuf),
    /// @FILE, with several.
    Several(PathBuf),
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix('@') {
            return Ok(Given::Several(path.into()));
        }
        let (name, value) =
            text.split_once('=').ok_or_else(|| format!("`{text}` must be NAME=VALUE"))?;
        Ok(match value.strip_prefix('@') {
            Some(path) => Given::File(name.into(), path.into()),
            None => Given::Value(name.into(), value.into()),
        })
    }
}

impl Given {
    fn read(&self) -> Result<BTreeMap<String, String>> {
        match self {
            Given::Value(name, value) => Ok([(name.clone(), value.clone())].into()),
            Given::File(name, path) => Ok([(name.clone(), text(path)?)].into()),
            Given::Several(path) => several(path),
        }
    }
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("--variable: {}", path.display()))
}

fn several(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = text(path)?;
    let values: Result<BTreeMap<String, Value>> = match path.extension().and_then(|e| e.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(Into::into),
        Some("toml") => toml::from_str(&text).map_err(Into::into),
        _ => bail!("--variable: {}: must end in .json or .toml", path.display()),
    };
    let values = values.with_context(|| format!("--variable: {}", path.display()))?;
    let plain = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(name, value)| (name, plain(value))).collect())
}

impl VariableArgs {
    /// The file of `--runtime-config-file`, empty without one.
    pub fn runtime_config(&self) -> Result<RuntimeConfig> {
        self.runtime_config_file
            .as_deref()
            .map_or(Ok(RuntimeConfig::default()), RuntimeConfig::read)
    }

    /// Gives each variable that the application declares its value. `known` are values that come
    /// right after those of `--variable`.
    pub fn resolve(
        &self,
        app: &App,
        known: BTreeMap<String, String>,
        config: &RuntimeConfig,
    ) -> Result<Variables> {
        let mut given = known;
        for one in &self.variables {
            given.extend(one.read()?);
        }
        if let Some(name) = given.keys().find(|name| !app.variables.contains_key(*name)) {
            bail!("variable `{name}`: not declared in the application's [variables]");
        }
        let mut sources = vec![Source::Values(given)];
        for provider in &config.variables_provider {
            sources.push(Source::of(provider)?);
        }
        sources.push(Source::environment(PREFIX, Some(Path::new(DOTENV)))?);
        Ok(Variables::resolve(&app.variables, |name| {
            sources.iter().find_map(|source| source.get(name))
        })?)
    }
}

/// One of the places that are asked.
enum Source {
    Values(BTreeMap<String, String>),
    Environment { prefix: String, file: BTreeMap<String, String> },
}

impl Source {
    fn of(provider: &Provider) -> Result<Self> {
        match provider {
            Provider::Static { values } => Ok(Source::Values(values.clone())),
            Provider::Env { prefix, dotenv_path } => {
                Self::environment(prefix.as_deref().unwrap_or(PREFIX), dotenv_path.as_deref())
            }
        }
    }

    fn environment(prefix: &str, dotenv: Option<&Path>) -> Result<Self> {
        let mut file = BTreeMap::new();
        if let Some(path) = dotenv.filter(|path| path.exists()) {
            for entry in dotenvy::from_path_iter(path)? {
                let (name, value) = entry.with_context(|| path.display().to_string())?;
                file.insert(name, value);
            }
        }
        Ok(Source::Environment { prefix: prefix.into(), file })
    }

    fn get(&self, name: &str) -> Option<String> {
        match self {
            Source::Values(values) => values.get(name).cloned(),
            Source::Environment { prefix, file } => {
                let key = format!("{prefix}_{}", name.to_ascii_uppercase());
                std::env::var(&key).ok().or_else(|| file.get(&key).cloned())
            }
        }
    }
}
