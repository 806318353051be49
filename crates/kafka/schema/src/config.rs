//! The settings of the schema registry.

use std::sync::Arc;
use std::time::Duration;

use kafka_client::Secret;
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::Error;
use crate::avro::{AvroReader, AvroSchema};
use crate::protobuf::JsonForm;
use crate::reader::Reader;
use crate::registry::Version;

/// The settings of the schema registry. Unknown settings are an error.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemaConfig {
    /// URL of the registry's API, such as `https://registry:8081`, or
    /// `http://apicurio:8080/apis/ccompat/v7`, or the `file://` URL of a folder with its answers.
    /// Required.
    pub registry: String,
    /// What the component gets. With `decode` it is the value as JSON, without the schema's id: the
    /// text of a JSON value, or an Avro or Protobuf value converted to JSON. With `validate` it is
    /// the value as it is in Kafka. In both cases it gets only records whose values fit their
    /// schemas. Default `decode`.
    pub mode: Mode,
    /// The Avro schema for which the component was written. Avro values are converted to it: fields
    /// that it does not have are left out, missing ones get their default, and aliases and
    /// promotions apply. Give the text, not a path.
    pub reader_schema: String,
    /// The same as `reader_schema`, by a version in the registry: `SUBJECT:VERSION`, such as
    /// `sales-value:3`.
    pub reader_version: String,
    /// Whether the JSON of a Protobuf value has the field names of the schema, such as
    /// `producto_id`, instead of `productoId`. Default `false`.
    pub protobuf_field_names: bool,
    /// Whether the JSON of a Protobuf value contains fields without presence that have their
    /// default, such as 0. Default `false`.
    pub protobuf_defaults: bool,
    /// Whether the JSON of a Protobuf value has the numbers of enums instead of their names.
    /// Default `false`.
    pub protobuf_enum_numbers: bool,
    /// Whether the JSON of a Protobuf value has integers of 64 bits as numbers instead of strings.
    /// Default `false`.
    pub protobuf_long_numbers: bool,
    /// User for HTTP basic authentication.
    pub username: String,
    /// Password for HTTP basic authentication. It is never printed.
    pub password: Option<Secret>,
    /// Bearer token; an alternative to user and password. It is never printed.
    pub token: Option<Secret>,
    /// PEM certificates of authorities that sign the registry's certificate, in addition to those
    /// of the system.
    pub ca: String,
    /// Maximum time of a request to the registry. Default 5,000.
    pub timeout_ms: u64,
    /// Maximum number of schemas that are kept. The schema that was not used for the longest time
    /// is removed first. Default 1,000.
    pub schemas_max: usize,
    /// Maximum size of the decoded values of a batch. A batch above it is divided; a single record
    /// above it is given up. Default 16 MiB.
    pub decoded_bytes_max: usize,
}

/// What the handler gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The value as JSON.
    #[default]
    Decode,
    /// The value as it is in Kafka.
    Validate,
}

impl Default for SchemaConfig {
    fn default() -> Self {
        Self {
            registry: String::new(),
            mode: Mode::default(),
            reader_schema: String::new(),
            reader_version: String::new(),
            protobuf_field_names: false,
            protobuf_defaults: false,
            protobuf_enum_numbers: false,
            protobuf_long_numbers: false,
            username: String::new(),
            password: None,
            token: None,
            ca: String::new(),
            timeout_ms: 5_000,
            schemas_max: 1_000,
            decoded_bytes_max: 16 * 1024 * 1024,
        }
    }
}

impl SchemaConfig {
    /// Checks each setting. The error names the setting.
    pub fn validate(&self) -> Result<(), Error> {
        self.url()?;
        self.reader()?;
        let one = self.token.is_none() || (self.username.is_empty() && self.password.is_none());
        check("token", one, "give either `token` or `username` and `password`")?;
        let user = self.password.is_none() || !self.username.is_empty();
        check("username", user, "give the user of `password`")?;
        let timeout = (1..=600_000).contains(&self.timeout_ms);
        check("timeout_ms", timeout, "must be between 1 and 600,000")?;
        let ca = self.ca.is_empty() || self.ca.contains("-----BEGIN CERTIFICATE-----");
        check("ca", ca, "contains no PEM certificate; give the text, not a path")?;
        check("schemas_max", self.schemas_max > 0, "must be at least 1")?;
        check("decoded_bytes_max", self.decoded_bytes_max > 0, "must be at least 1")
    }

    /// The URL of the API. The errors do not contain it, because it could contain a password.
    pub(crate) fn url(&self) -> Result<Url, Error> {
        let url = Url::parse(&self.registry).ok();
        let is_known = |url: &Url| match url.scheme() {
            "http" | "https" => true,
            "file" => url.to_file_path().is_ok(),
            _ => false,
        };
        let Some(url) = url.filter(is_known) else {
            let reason = "give an `http://` or `https://` URL, or a `file://` URL with a full path";
            return Err(Error::setting("registry", reason));
        };
        let plain = url.username().is_empty() && url.password().is_none();
        check("registry", plain, "give user and password as `username` and `password`")?;
        let path = url.query().is_none() && url.fragment().is_none();
        check("registry", path, "must have neither a query nor a fragment")?;
        Ok(url)
    }

    /// The schema of the reader.
    pub(crate) fn reader(&self) -> Result<Option<Reader>, Error> {
        let (text, version) = (&self.reader_schema, &self.reader_version);
        let one = text.is_empty() || version.is_empty();
        check("reader_schema", one, "give either `reader_schema` or `reader_version`")?;
        if !text.is_empty() {
            let reader = AvroSchema::parse(text, &[]).and_then(AvroReader::new);
            let reader = reader.map_err(|reason| Error::setting("reader_schema", reason))?;
            return Ok(Some(Reader::Given(Arc::new(reader))));
        }
        if version.is_empty() {
            return Ok(None);
        }
        // The subject may contain a colon.
        let parts = version.rsplit_once(':').filter(|(subject, _)| !subject.is_empty());
        let number = parts.and_then(|(subject, number)| Some((subject, number.parse().ok()?)));
        let Some((subject, version)) = number else {
            return Err(Error::setting(
                "reader_version",
                "give `SUBJECT:VERSION`, such as `sales:3`",
            ));
        };
        let version = Version { subject: subject.into(), version };
        Ok(Some(Reader::Version(version, OnceCell::new())))
    }

    /// The form of the JSON of Protobuf values.
    pub(crate) fn protobuf_json(&self) -> JsonForm {
        JsonForm {
            field_names: self.protobuf_field_names,
            defaults: self.protobuf_defaults,
            enum_numbers: self.protobuf_enum_numbers,
            long_numbers: self.protobuf_long_numbers,
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

fn check(setting: &'static str, is_valid: bool, reason: &str) -> Result<(), Error> {
    if is_valid { Ok(()) } else { Err(Error::setting(setting, reason)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(toml: &str) -> String {
        let config: SchemaConfig = toml::from_str(toml).unwrap();
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn every_bound_is_checked_and_named() {
        let valid = "registry = 'http://127.0.0.1:8081'\n";
        toml::from_str::<SchemaConfig>(valid).unwrap().validate().unwrap();
        for registry in
            ["", "registry:8081", "ftp://registry", "file://host/x", "http://r?x=1", "http://r#x"]
        {
            assert!(refused(&format!("registry = '{registry}'")).contains("registry"));
        }
        let with = |more: &str| refused(&format!("{valid}{more}"));
        assert!(with("password = 'p'").contains("username"));
        assert!(with("username = 'u'\ntoken = 't'").contains("token"));
        assert!(with("ca = '/etc/ssl/registry.pem'").contains("ca: contains no PEM certificate"));
        assert!(with("timeout_ms = 0").contains("timeout_ms"));
        assert!(with("schemas_max = 0").contains("schemas_max"));
        assert!(with("decoded_bytes_max = 0").contains("decoded_bytes_max"));
        for version in ["sales", "sales:", "sales:latest", ":1", "sales:-1"] {
            assert!(with(&format!("reader_version = '{version}'")).contains("SUBJECT:VERSION"));
        }
        assert!(with("reader_version = 's:1'\nreader_schema = '\"int\"'").contains("either"));
        assert!(with("reader_schema = 'sale.avsc'").contains("reader_schema: "));
        assert!(toml::from_str::<SchemaConfig>("modes = 'x'").is_err());
    }

    #[test]
    fn secrets_are_neither_printed_nor_part_of_an_error() {
        let error = refused("registry = 'http://user:hunter2@registry'");
        assert!(error.contains("`username`") && !error.contains("hunter2"), "{error}");
        let config: SchemaConfig =
            toml::from_str("username = 'user'\npassword = 'hunter2'\ntoken = 'hunter3'").unwrap();
        let printed = format!("{config:?}");
        assert!(printed.contains("***") && !printed.contains("hunter"), "{printed}");
    }
}
