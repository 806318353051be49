//! The file of `--runtime-config-file`, which all triggers of an application share.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use component_host::ClientTls;
use serde::Deserialize;
use spin_app::origin::line_at;
use stores::StoresConfig;

/// Sections of Spin for features that components cannot use here, or that only tune such a feature.
/// They are ignored.
const IGNORED_SECTIONS: [&str; 7] = [
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
    /// TLS of outgoing requests.
    #[serde(default)]
    client_tls: Vec<ClientTlsSection>,
    /// The key-value stores, by label.
    #[serde(default)]
    key_value_store: BTreeMap<String, KeyValueSection>,
    /// The connections to PostgreSQL.
    outbound_pg: Option<OutboundPg>,
    /// The folder of the file.
    #[serde(skip)]
    folder: PathBuf,
    #[serde(flatten)]
    other: BTreeMap<String, toml::Value>,
}

/// A `[[client_tls]]`: how some components connect to some hosts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientTlsSection {
    /// The ids of the components.
    component_ids: Vec<String>,
    /// The names of the hosts; `*` and `*.example.com` stand for several.
    hosts: Vec<String>,
    /// Whether the authorities that the operating system trusts are trusted. Without
    /// `ca_roots_file`, the default is true.
    ca_use_platform_roots: Option<bool>,
    /// A file with the certificates of trusted authorities, as PEM.
    ca_roots_file: Option<PathBuf>,
    /// A file with the certificate of the client, as PEM.
    client_cert_file: Option<PathBuf>,
    /// A file with the key of that certificate, as PEM in PKCS #8.
    client_private_key_file: Option<PathBuf>,
}

impl ClientTlsSection {
    /// Reads the files of the section.
    fn load(&self, folder: &Path) -> Result<ClientTls> {
        let read = |file: &PathBuf| {
            let file = folder.join(file);
            std::fs::read(&file).with_context(|| format!("client_tls: {}", file.display()))
        };
        let identity = match (&self.client_cert_file, &self.client_private_key_file) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            (None, None) => None,
            _ => bail!("client_tls: client_cert_file and client_private_key_file need each other"),
        };
        let mut config = ClientTls {
            components: self.component_ids.clone(),
            hosts: self.hosts.clone(),
            use_platform_roots: self.ca_use_platform_roots.unwrap_or(self.ca_roots_file.is_none()),
            roots: self.ca_roots_file.as_ref().map(read).transpose()?.unwrap_or_default(),
            identity,
        };
        config.check().map_err(|error| anyhow!("client_tls: {error}"))?;
        Ok(config)
    }
}

/// A `[key_value_store.LABEL]`. One of a type that is not supported is an error only if a component
/// opens the store: Spin's HTTP trigger reads the same file.
#[derive(Deserialize)]
struct KeyValueSection {
    r#type: String,
    url: Option<String>,
}

impl KeyValueSection {
    /// The URL of the server; an error says why the store cannot be used.
    fn url(&self) -> Result<String, String> {
        match (&*self.r#type, &self.url) {
            ("redis", Some(url)) => Ok(url.clone()),
            ("redis", None) => Err("`url` is missing in the runtime configuration file".into()),
            (other, _) => {
                Err(format!("the type `{other}` is not supported by this program, only `redis`"))
            }
        }
    }
}

/// `[outbound_pg]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutboundPg {
    /// The most connections to one database at once.
    max_connections: Option<NonZeroUsize>,
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
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(&text, span.start));
            anyhow!("{}:{line}: {}", place(), error.message())
        })?;
        if let Some(key) = config.other.keys().find(|key| !IGNORED_SECTIONS.contains(&key.as_str()))
        {
            bail!("{}: `{key}` is not supported by this program", place());
        }
        config.folder = path.parent().map(Into::into).unwrap_or_default();
        Ok(config)
    }

    /// The settings of databases and stores.
    pub fn stores(&self) -> StoresConfig {
        let key_value = self.key_value_store.iter();
        let key_value = key_value.map(|(label, section)| (label.clone(), section.url()));
        let mut config = StoresConfig { key_value: key_value.collect(), ..Default::default() };
        if let Some(max) = self.outbound_pg.as_ref().and_then(|section| section.max_connections) {
            config.postgres_connections_max = max.get();
        }
        config
    }

    /// The settings for TLS of outgoing requests, with the content of their files.
    pub fn client_tls(&self) -> Result<Vec<ClientTls>> {
        self.client_tls.iter().map(|section| section.load(&self.folder)).collect()
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
             [key_value_store.default]\ntype = \"spin\"\n\
             [key_value_store.shared]\ntype = \"redis\"\nurl = \"redis://h\"\n",
        )
        .unwrap();
        assert!(config.key_value_store["default"].url().unwrap_err().contains("`spin`"));
        assert_eq!(config.key_value_store["shared"].url().unwrap(), "redis://h");
        let limited = read("[outbound_pg]\nmax_connections = 3\n").unwrap();
        assert_eq!(limited.stores().postgres_connections_max, 3);
        assert_eq!(config.variables_provider.len(), 2);
        assert_eq!((config.log_dir.as_deref(), config.max_instance_memory), (Some(""), Some(1024)));
        let old = read("[[config_provider]]\ntype = \"env\"\n").unwrap();
        assert_eq!(old.variables_provider.len(), 1);
    }

    #[test]
    fn reads_how_components_connect_over_tls() {
        let folder = tempfile::tempdir().unwrap();
        let with_hosts = |hosts: &str, lines: &str| {
            let file = folder.path().join("config.toml");
            let text = format!("[[client_tls]]\ncomponent_ids = [\"a\"]\nhosts = {hosts}\n{lines}");
            std::fs::write(&file, text).unwrap();
            let mut sections = RuntimeConfig::read(&file)?.client_tls()?;
            anyhow::Ok(sections.remove(0))
        };
        let section = |lines: &str| with_hosts("[\"*.example.com\"]", lines);
        assert!(section("").unwrap().use_platform_roots);
        let hosts = with_hosts(r#"["A.Example", "::1", "*", "*.B"]"#, "").unwrap().hosts;
        assert_eq!(hosts, ["a.example", "::1", "*", "*.b"]);
        for hosts in ["[]", r#"["https://a"]"#, r#"["a:443"]"#, r#"["a*"]"#, r#"["*."]"#] {
            let fault = format!("{:#}", with_hosts(hosts, "").err().unwrap());
            assert!(fault.contains("client_tls") && fault.contains("hosts"), "{fault}");
        }
        for (lines, expected) in [
            ("ca_roots_file = \"missing.pem\"", "missing.pem"),
            ("client_cert_file = \"c.pem\"", "client_private_key_file"),
            ("ca_use_webpki_roots = true", "ca_use_webpki_roots"),
            ("ca_roots_file = \"config.toml\"\nca_use_platform_roots = false", "no certificate"),
        ] {
            let fault = format!("{:#}", section(lines).err().unwrap());
            assert!(fault.contains(expected), "{fault}");
        }
    }

    #[test]
    fn refuses_unsupported_settings() {
        for (text, expected) in [
            ("[outbound_networking]\nblock_networks = [\"private\"]\n", "`outbound_networking`"),
            ("[kafka]\nbrokers = \"x\"\n", "`kafka`"),
            ("[outbound_pg]\nmax_connections = 0\n", "nonzero"),
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
