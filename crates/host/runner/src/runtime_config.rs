//! The file of `--runtime-config-file`, which all triggers of an application share.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use spin_app::origin::line_at;

/// Sections of Spin for features that components cannot use here, or that only tune such a feature.
/// They are ignored.
const IGNORED_SECTIONS: [&str; 9] = [
    "client_tls",
    "key_value_store",
    "llm_compute",
    "outbound_http",
    "outbound_mqtt",
    "outbound_mysql",
    "outbound_redis",
    "sqlite_database",
    "telemetry",
];

/// The settings that are read from the file.
#[derive(Default, Deserialize)]
pub struct RuntimeConfig {
    /// The providers of variables, in the order of their precedence.
    #[serde(default, alias = "config_provider")]
    pub variables_provider: Vec<Provider>,
    /// The same as `--state-dir`.
    pub state_dir: Option<String>,
    /// The same as `--log-dir`.
    pub log_dir: Option<String>,
    /// The same as `--max-instance-memory`.
    pub max_instance_memory: Option<usize>,
    /// The connections to PostgreSQL.
    pub outbound_pg: Option<OutboundPg>,
    #[serde(flatten)]
    other: BTreeMap<String, toml::Value>,
}

/// `[outbound_pg]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboundPg {
    /// The most connections to one database at once.
    pub max_connections: Option<NonZeroUsize>,
}

/// A `[[variables_provider]]`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Provider {
    /// Values in the file.
    Static {
        /// The values by name.
        values: BTreeMap<String, toml::Value>,
    },
    /// Environment variables `<prefix>_<NAME>`.
    Env {
        /// Default `SPIN_VARIABLE`.
        prefix: Option<String>,
        /// A file with such variables, for those that are not in the environment.
        dotenv_path: Option<PathBuf>,
    },
}

impl RuntimeConfig {
    /// Reads the file. Settings that this program does not support are an error that names them.
    pub fn read(path: &Path) -> Result<Self> {
        let place = || format!("--runtime-config-file {}", path.display());
        let text = std::fs::read_to_string(path).with_context(place)?;
        // The whole error would show the line, which may contain a secret.
        let config: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(&text, span.start));
            anyhow!("{}:{line}: {}", place(), error.message())
        })?;
        if let Some(key) = config.other.keys().find(|key| !IGNORED_SECTIONS.contains(&key.as_str()))
        {
            bail!("{}: `{key}` is not supported by this program", place());
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RuntimeConfig> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        RuntimeConfig::read(file.path())
    }

    #[test]
    fn reads_the_settings_of_all_triggers() {
        let config = read(
            "log_dir = \"\"\nmax_instance_memory = 1024\n\
             [[variables_provider]]\ntype = \"static\"\nvalues = { a = \"1\" }\n\
             [[variables_provider]]\ntype = \"env\"\nprefix = \"SHOP\"\n\
             [key_value_store.default]\ntype = \"spin\"\n",
        )
        .unwrap();
        assert_eq!(config.variables_provider.len(), 2);
        assert_eq!((config.log_dir.as_deref(), config.max_instance_memory), (Some(""), Some(1024)));
        let old = read("[[config_provider]]\ntype = \"env\"\n").unwrap();
        assert_eq!(old.variables_provider.len(), 1);
    }

    #[test]
    fn refuses_unsupported_settings() {
        for (text, expected) in [
            ("[outbound_networking]\nblock_networks = [\"private\"]\n", "`outbound_networking`"),
            ("[kafka]\nbrokers = \"x\"\n", "`kafka`"),
            ("[[variables_provider]]\ntype = \"vault\"\n", "vault"),
            ("[[variables_provider]]\ntype = \"env\"\nprefx = \"A\"\n", "prefx"),
            ("nonsense", "runtime-config-file"),
            ("\n[[variables_provider]]\nvalues = { password = \"hunter2 }\n", ":3: "),
        ] {
            let fault = format!("{:#}", read(text).err().unwrap());
            assert!(fault.contains(expected) && !fault.contains("hunter2"), "{fault}");
        }
    }
}
