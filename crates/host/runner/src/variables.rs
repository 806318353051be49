//! The values of an application's variables, in Spin's order of precedence: `--variable`, the
//! providers of the runtime configuration file, the environment, the default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;
use spin_app::App;
use spin_app::variables::Variables;

use crate::runtime_config::{Provider, RuntimeConfig};

/// Prefix of the environment variables with values.
const PREFIX: &str = "SPIN_VARIABLE";

/// The file that is read in addition to the environment, if it exists.
const DOTENV: &str = ".env";

/// Where values of variables come from.
#[derive(Clone, Default, clap::Args)]
pub struct VariableArgs {
    /// Set a variable of the application: NAME=VALUE, or NAME=@FILE for the content of a file; or
    /// several variables with @FILE.json or @FILE.toml. May be repeated.
    #[arg(long = "variable", value_name = "NAME=VALUE")]
    pub variables: Vec<Given>,
    /// Runtime configuration file: `[[variables_provider]]` of the types `static` and `env`,
    /// `[[client_tls]]`, `[outbound_pg]`, `[key_value_store.LABEL]` of the type `redis`, `state_dir`,
    /// `log_dir` and `max_instance_memory`.
    #[arg(long, value_name = "FILE", env = "RUNTIME_CONFIG_FILE")]
    pub runtime_config_file: Option<PathBuf>,
}

/// One `--variable`. Files are read when the values are needed.
#[derive(Clone)]
pub enum Given {
    /// NAME=VALUE.
    Value(String, String),
    /// NAME=@FILE.
    File(String, PathBuf),
    /// `@FILE`, with several variables.
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
        // The whole error would show the line, which may contain a secret.
        Some("toml") => toml::from_str(&text).map_err(|e| anyhow!("{}", e.message().to_owned())),
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
    /// The file of `--runtime-config-file`; an empty configuration without one.
    pub fn runtime_config(&self) -> Result<RuntimeConfig> {
        self.runtime_config_file
            .as_deref()
            .map_or(Ok(RuntimeConfig::default()), RuntimeConfig::read)
    }

    /// Determines the value of each variable that the application declares, if it has one. The values
    /// in `known` have the next precedence after `--variable`.
    pub fn resolve(
        &self,
        app: &App,
        known: BTreeMap<String, String>,
        config: &RuntimeConfig,
    ) -> Result<Variables> {
        let sources = self.sources(app, known, config)?;
        let mut found = BTreeMap::new();
        for name in app.variables.keys() {
            for source in &sources {
                if let Some(value) = source.get(name)? {
                    found.insert(name.as_str(), value);
                    break;
                }
            }
        }
        Ok(Variables::resolve(&app.variables, |name| found.get(name).cloned()))
    }

    /// The value of this variable in the sources, if there is one.
    pub fn given(&self, app: &App, name: &str, config: &RuntimeConfig) -> Result<Option<String>> {
        if !app.variables.contains_key(name) {
            return Ok(None);
        }
        for source in self.sources(app, BTreeMap::new(), config)? {
            if let Some(value) = source.get(name)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The sources of values, in the order of their precedence.
    fn sources(
        &self,
        app: &App,
        known: BTreeMap<String, String>,
        config: &RuntimeConfig,
    ) -> Result<Vec<Source>> {
        let mut given = known;
        for one in &self.variables {
            // A file may be shared by several applications, so it may contain unknown names. A name
            // on the command line must be known.
            if let Given::Value(name, _) | Given::File(name, _) = one
                && !app.variables.contains_key(name)
            {
                bail!("variable `{name}`: not declared in the application's [variables]");
            }
            given.extend(one.read()?);
        }
        let mut sources = vec![Source::Values(given)];
        for provider in &config.variables_provider {
            sources.push(Source::new(provider)?);
        }
        let dotenv = Path::new(DOTENV).exists().then(|| DOTENV.into());
        sources.push(Source::environment(PREFIX, dotenv));
        Ok(sources)
    }
}

/// A source of values.
enum Source {
    Values(BTreeMap<String, String>),
    Environment {
        prefix: String,
        /// A file for variables that are not in the environment. It is read when it is needed.
        dotenv: Option<PathBuf>,
    },
}

impl Source {
    fn new(provider: &Provider) -> Result<Self> {
        match provider {
            Provider::Static { values } => {
                let text = |(name, value): (&String, &toml::Value)| match value.as_str() {
                    Some(text) => Ok((name.clone(), text.to_owned())),
                    None => bail!("variables_provider: `{name}` must be a string"),
                };
                values.iter().map(text).collect::<Result<_>>().map(Source::Values)
            }
            Provider::Env { prefix, dotenv_path } => {
                let prefix = prefix.as_deref().unwrap_or(PREFIX);
                Ok(Self::environment(prefix, dotenv_path.clone()))
            }
        }
    }

    fn environment(prefix: &str, dotenv: Option<PathBuf>) -> Self {
        Source::Environment { prefix: prefix.into(), dotenv }
    }

    fn get(&self, name: &str) -> Result<Option<String>> {
        match self {
            Source::Values(values) => Ok(values.get(name).cloned()),
            Source::Environment { prefix, dotenv } => {
                let key = format!("{prefix}_{}", name.to_ascii_uppercase());
                match (std::env::var_os(&key), dotenv) {
                    (Some(value), _) => match value.into_string() {
                        Ok(value) => Ok(Some(value)),
                        Err(_) => bail!("the environment variable {key} is not UTF-8"),
                    },
                    (None, Some(path)) => in_dotenv(path, &key),
                    (None, None) => Ok(None),
                }
            }
        }
    }
}

/// The first value of this name in the file, which must exist. Errors do not show its lines, which
/// may contain secrets.
fn in_dotenv(path: &Path, key: &str) -> Result<Option<String>> {
    let file = || format!("variables of the environment, from {}", path.display());
    for (index, entry) in dotenvy::from_path_iter(path).with_context(file)?.enumerate() {
        match entry {
            Ok((name, value)) if name == key => return Ok(Some(value)),
            Ok(_) => {}
            Err(_) => bail!("{}: entry {} is not NAME=VALUE", file(), index + 1),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LOCKED: &str = r#"{"spin_lock_version": 0, "metadata": {"name": "a"}, "triggers": [],
        "components": [], "variables": {"test_one": {"default": "the default"},
                                        "test_two": {"default": "the default"}}}"#;

    /// The values of the two variables.
    fn resolve(flags: &[&str], config: &str) -> Result<[String; 2]> {
        let app = App::from_json(Path::new("spin.lock"), LOCKED.as_bytes())?;
        let given = flags.iter().map(|flag| flag.parse().map_err(anyhow::Error::msg));
        let args =
            VariableArgs { variables: given.collect::<Result<_>>()?, runtime_config_file: None };
        let variables = args.resolve(&app, BTreeMap::new(), &toml::from_str(config)?)?;
        let value = |name| variables.get(name).unwrap_or_default().to_owned();
        Ok([value("test_one"), value("test_two")])
    }

    #[test]
    fn the_source_of_the_highest_precedence_counts() {
        let folder = tempfile::tempdir().unwrap();
        let dotenv = folder.path().join("env");
        fs::write(&dotenv, "RUNNER_TEST_ONE=file\nRUNNER_TEST_TWO=file\n").unwrap();
        let provider = |kind: &str| format!("[[variables_provider]]\ntype = {kind}\n");
        let env = provider(&format!(
            "\"env\"\nprefix = \"RUNNER\"\ndotenv_path = \"{}\"",
            dotenv.display()
        ));
        let fixed = provider("\"static\"\nvalues = { test_one = \"static\" }");
        let cases = [
            (vec![], String::new(), ["the default", "the default"]),
            (vec![], env.clone(), ["file", "file"]),
            (vec![], fixed.clone() + &env, ["static", "file"]),
            (vec![], env.clone() + &fixed, ["file", "file"]),
            (vec!["test_one=flag"], fixed + &env, ["flag", "file"]),
            (vec!["test_one=a", "test_one=b"], String::new(), ["b", "the default"]),
        ];
        for (flags, config, expected) in cases {
            assert_eq!(resolve(&flags, &config).unwrap(), expected, "{flags:?} {config}");
        }
    }

    #[test]
    fn values_come_from_files_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("one"), "of a file").unwrap();
        fs::write(path("v.json"), r#"{"test_two": 2, "of_another_application": true}"#).unwrap();
        fs::write(path("v.toml"), "test_two = \"toml\"").unwrap();
        let one = format!("test_one=@{}", path("one"));
        let json = resolve(&[&one, &format!("@{}", path("v.json"))], "").unwrap();
        assert_eq!(json, ["of a file", "2"]);
        assert_eq!(resolve(&[&format!("@{}", path("v.toml"))], "").unwrap()[1], "toml");
    }

    #[test]
    fn faults_name_the_place_and_show_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("v.toml"), "test_one = \"hunter2").unwrap();
        fs::write(path("env"), "A=1\nTEST_ONE=\"hunter2\n").unwrap();
        let dotenv =
            format!("[[variables_provider]]\ntype = \"env\"\ndotenv_path = \"{}\"", path("env"));
        let number = "[[variables_provider]]\ntype = \"static\"\nvalues = { test_one = 1234 }";
        let missing = dotenv.replace("/env\"", "/none\"");
        let cases: [(&str, &str, &str); 7] = [
            ("test_two=x", &missing, "/none"),
            ("test_on=x", "", "`test_on`: not declared"),
            (&format!("test_one=@{}", path("missing")), "", "missing"),
            (&format!("@{}", path("env")), "", ".json or .toml"),
            (&format!("@{}", path("v.toml")), "", "v.toml"),
            ("test_two=x", &dotenv, "env: entry 2"),
            ("test_two=x", number, "`test_one` must be a string"),
        ];
        for (flag, config, expected) in cases {
            let fault = format!("{:#}", resolve(&[flag], config).err().unwrap());
            assert!(fault.contains(expected), "{fault}");
            assert!(!fault.contains("hunter2") && !fault.contains("1234"), "{fault}");
        }
    }

    #[test]
    fn a_file_is_read_only_for_variables_of_the_application() {
        let config = "[[variables_provider]]\ntype = \"env\"\ndotenv_path = \"/none/env\"";
        let config = toml::from_str(config).unwrap();
        let app = App::from_json(Path::new("spin.lock"), LOCKED.as_bytes()).unwrap();
        let args = VariableArgs::default();
        assert_eq!(args.given(&app, "of_another_application", &config).unwrap(), None);
        assert!(args.given(&app, "test_one", &config).is_err());
    }
}
