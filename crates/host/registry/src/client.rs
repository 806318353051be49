//! Pushes applications to a registry and pulls them.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use oci_client::annotations;
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::config::{Architecture, Config as Labels, ConfigFile, Os};
use oci_client::errors::{OciDistributionError, OciEnvelope, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use serde_json::Value;
use spin_app::App;

use crate::artifact::{
    APPLICATION_LAYER, ARCHIVE_LAYER, ARTIFACT_BYTES_MAX, Artifact, COMPONENT_LAYER, FILE_LAYER,
};
use crate::{Error, archive, credentials};

/// The most layers of an artifact: the number that registries accept, as in Spin.
const LAYERS_MAX: usize = 500;

/// How long connecting to the registry may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the registry may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a whole push or pull may take: 512 MiB at about a megabyte per second.
const WHOLE_LIMIT: Duration = Duration::from_secs(600);

/// The label that distinguishes the images of different applications, as Spin writes it.
const APPLICATION_DIGEST: &str = "com.fermyon.spin.lockedAppDigest";

/// The hint for missing or wrong credentials.
const LOG_IN: &str = "; log in by `docker login`, or put credentials in Docker's config.json";

/// The protocol for a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TLS. For a registry without TLS on the loopback interface of this machine, plain HTTP.
    Secure,
    /// Plain HTTP.
    Plain,
}

// The public functions box their futures, because otherwise the crate of a caller would compile the
// HTTP client again.

/// Pushes an application. Returns the digest of the artifact.
pub fn push<'a>(
    app: &'a App,
    to: &'a Reference,
    transport: Transport,
) -> BoxFuture<'a, Result<String, Error>> {
    within("push", to, push_artifact(app, to, transport)).boxed()
}

/// Pulls an application into memory.
pub fn pull(from: &Reference, transport: Transport) -> BoxFuture<'_, Result<App, Error>> {
    within("pull", from, pull_artifact(from, transport)).boxed()
}

async fn within<T>(
    what: &'static str,
    reference: &Reference,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let slow = |_| Error::Slow { what, reference: reference.to_string(), limit: WHOLE_LIMIT };
    tokio::time::timeout(WHOLE_LIMIT, work).await.map_err(slow)?
}

async fn push_artifact(app: &App, to: &Reference, transport: Transport) -> Result<String, Error> {
    let artifact = Artifact::of(app)?;
    let auth = credentials::of(to).await?;
    let layers = layers(artifact)?;
    let failed = |source| fault("push", to, source);
    let config = config(layers.first().map(ImageLayer::sha256_digest)).map_err(failed)?;
    let manifest = OciImageManifest::build(&layers, &config, Some(annotations(app)));
    check(&to.to_string(), &manifest)?;
    let client = reach(to, transport, &auth, RegistryOperation::Push).await;
    client.push(to, &layers, config, &auth, Some(manifest)).await.map_err(failed)?;
    client.fetch_manifest_digest(to, &auth).await.map_err(failed)
}

async fn pull_artifact(from: &Reference, transport: Transport) -> Result<App, Error> {
    let auth = credentials::of(from).await?;
    let client = reach(from, transport, &auth, RegistryOperation::Pull).await;
    let failed = |source| fault("pull", from, source);
    let (manifest, _) = client.pull_image_manifest(from, &auth).await.map_err(failed)?;
    let name = from.to_string();
    check(&name, &manifest)?;
    let mut artifact = Artifact::default();
    for layer in &manifest.layers {
        let content = blob(&client, from, layer).await.map_err(failed)?;
        let (name, layer) = (name.clone(), layer.clone());
        // Unpacking an archive takes long, so it is done on a separate thread.
        let adding = tokio::task::spawn_blocking(move || {
            artifact.add_layer(&name, &layer.media_type, layer.digest, content)?;
            Ok(artifact)
        });
        let stopped = |error| Err(not_an_application(&from.to_string(), &format!("{error}")));
        artifact = adding.await.unwrap_or_else(stopped)?;
    }
    artifact.into_app(&name)
}

/// Pulls one layer and checks its digest.
async fn blob(
    client: &Client,
    from: &Reference,
    layer: &OciDescriptor,
) -> Result<Bytes, OciDistributionError> {
    // No more bytes than announced are read, and the layer is not fetched from another URL.
    let mut content = vec![0; usize::try_from(layer.size).unwrap_or_default()];
    let mut out = Cursor::new(content.as_mut_slice());
    let here = OciDescriptor { urls: None, ..layer.clone() };
    client.pull_blob(from, &here, &mut out).await?;
    let length = usize::try_from(out.position()).unwrap_or_default();
    content.truncate(length);
    Ok(content.into())
}

/// Rejects an artifact that is not an application or that is too large, before any layer is pulled.
fn check(name: &str, manifest: &OciImageManifest) -> Result<(), Error> {
    let refuse = |message: &str| Err(not_an_application(name, message));
    if !manifest.layers.iter().any(|layer| layer.media_type == APPLICATION_LAYER) {
        return refuse(
            "it has no locked application; push it by `doorbuster push` or `spin registry push`",
        );
    }
    let sizes = manifest.layers.iter().map(|layer| u64::try_from(layer.size).unwrap_or(u64::MAX));
    let bytes = sizes.fold(0_u64, u64::saturating_add);
    if bytes > ARTIFACT_BYTES_MAX || manifest.layers.len() > LAYERS_MAX {
        return refuse(&format!(
            "it has {} layers of {bytes} bytes; at most {LAYERS_MAX} of {ARTIFACT_BYTES_MAX} are \
             taken",
            manifest.layers.len()
        ));
    }
    Ok(())
}

fn not_an_application(name: &str, message: &str) -> Error {
    Error::NotAnApplication { artifact: name.into(), message: message.into() }
}

fn fault(what: &'static str, reference: &Reference, source: OciDistributionError) -> Error {
    let hint = match &source {
        OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::AuthenticationFailure(_) => LOG_IN,
        OciDistributionError::RequestError(error) if error.is_connect() => {
            "; a registry that speaks plain HTTP needs --insecure"
        }
        OciDistributionError::ServerError { code: 401 | 403, .. } => LOG_IN,
        OciDistributionError::RegistryError { envelope, .. } if is_refusal(envelope) => LOG_IN,
        _ => "",
    };
    Error::Registry { what, reference: reference.to_string(), hint, source: source.into() }
}

/// Whether the registry refuses the credentials, or requires some.
fn is_refusal(envelope: &OciEnvelope) -> bool {
    let refuses =
        |code: &OciErrorCode| matches!(code, OciErrorCode::Unauthorized | OciErrorCode::Denied);
    envelope.errors.iter().any(|error| refuses(&error.code))
}

/// The layers: first the locked application, then the components and the files, each in the order
/// of their digests. If there would be too many, all files are one layer.
fn layers(artifact: Artifact) -> Result<Vec<ImageLayer>, Error> {
    let layer = |content, kind: &str| ImageLayer::new(content, kind.to_owned(), None);
    let Artifact { application, components, files } = artifact;
    let mut layers = vec![layer(application, APPLICATION_LAYER)];
    layers.extend(components.into_values().map(|content| layer(content, COMPONENT_LAYER)));
    if layers.len() + files.len() > LAYERS_MAX {
        let packed = archive::pack(&files).map_err(|e| Error::Unfit(e.to_string()))?;
        layers.push(layer(packed, ARCHIVE_LAYER));
    } else {
        layers.extend(files.into_values().map(|content| layer(content, FILE_LAYER)));
    }
    Ok(layers)
}

/// The configuration of the image as Spin writes it, for container runtimes that require one.
fn config(application: Option<String>) -> Result<Config, OciDistributionError> {
    let labels = application.map(|digest| HashMap::from([(APPLICATION_DIGEST.into(), digest)]));
    let file = ConfigFile {
        architecture: Architecture::Wasm,
        os: Os::Other("Wasip1".into()),
        config: Some(Labels { labels, ..Labels::default() }),
        ..ConfigFile::default()
    };
    Config::oci_v1_from_config_file(file, None)
}

/// The annotations, without a time, so that the same application results in the same artifact.
fn annotations(app: &App) -> BTreeMap<String, String> {
    let said = |key: &str| app.metadata.other.get(key).and_then(Value::as_str).map(str::to_owned);
    [
        (annotations::ORG_OPENCONTAINERS_IMAGE_TITLE, Some(app.metadata.name.clone())),
        (annotations::ORG_OPENCONTAINERS_IMAGE_VERSION, said("version")),
        (annotations::ORG_OPENCONTAINERS_IMAGE_DESCRIPTION, said("description")),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name.to_owned(), text?)))
    .collect()
}

/// Creates a client with the selected protocol. For a registry on the loopback interface of this
/// machine, TLS is tried first, then plain HTTP.
async fn reach(
    reference: &Reference,
    transport: Transport,
    auth: &RegistryAuth,
    operation: RegistryOperation,
) -> Client {
    if transport == Transport::Plain {
        return client(ClientProtocol::Http);
    }
    let secure = client(ClientProtocol::Https);
    if !is_loopback(reference.resolve_registry()) {
        return secure;
    }
    match secure.auth(reference, auth, operation).await {
        Err(OciDistributionError::RequestError(error)) if has_no_tls(&error) => {
            client(ClientProtocol::Http)
        }
        _ => secure,
    }
}

/// Whether a connection failed because the other side does not use TLS or does not respond at all.
/// An untrusted certificate is another error.
fn has_no_tls(error: &dyn std::error::Error) -> bool {
    let texts = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let texts: Vec<String> = texts.collect();
    !texts.iter().any(|text| text.contains("certificate"))
}

fn client(protocol: ClientProtocol) -> Client {
    Client::new(ClientConfig {
        protocol,
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: concat!("doorbuster/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

/// Whether a registry, `host[:port]`, is on the loopback interface of this machine.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::digest;

    #[test]
    fn plain_http_to_this_machine_only() {
        for registry in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9:1"] {
            assert!(is_loopback(registry), "{registry}");
        }
        for registry in ["localhost.example", "10.0.0.1:5000", "registry.example"] {
            assert!(!is_loopback(registry), "{registry}");
        }
    }

    #[test]
    fn too_much_is_refused_before_it_is_pulled() {
        let layer = |media_type: &str, size| OciDescriptor {
            media_type: media_type.into(),
            size,
            ..OciDescriptor::default()
        };
        let fault = |layers: Vec<OciDescriptor>| {
            let manifest = OciImageManifest { layers, ..OciImageManifest::default() };
            check("registry.example/shop", &manifest).map_err(|error| error.to_string())
        };
        assert_eq!(
            fault(vec![layer(APPLICATION_LAYER, 1_000), layer(COMPONENT_LAYER, 1 << 20)]),
            Ok(())
        );
        for (layers, expected) in [
            (vec![layer(COMPONENT_LAYER, 1)], "no locked application"),
            (vec![layer(APPLICATION_LAYER, 1), layer(COMPONENT_LAYER, 1 << 40)], "at most"),
            (vec![layer(APPLICATION_LAYER, 1), layer(COMPONENT_LAYER, -1)], "at most"),
            (vec![layer(APPLICATION_LAYER, 1); LAYERS_MAX + 1], "at most"),
        ] {
            let error = fault(layers).unwrap_err();
            assert!(error.contains(expected) && error.contains("registry.example"), "{error}");
        }
    }

    #[test]
    fn many_files_are_one_layer() {
        let kinds = |files: usize| {
            let files = (0..files).map(|n| (n.to_string(), Bytes::from(n.to_string())));
            let components = BTreeMap::from([("c".to_owned(), Bytes::new())]);
            let artifact =
                Artifact { application: Bytes::new(), components, files: files.collect() };
            let layers = layers(artifact).unwrap();
            layers.iter().map(|layer| layer.media_type.clone()).collect::<Vec<_>>()
        };
        assert_eq!(kinds(1), [APPLICATION_LAYER, COMPONENT_LAYER, FILE_LAYER]);
        assert_eq!(kinds(LAYERS_MAX - 2).len(), LAYERS_MAX);
        assert_eq!(kinds(LAYERS_MAX), [APPLICATION_LAYER, COMPONENT_LAYER, ARCHIVE_LAYER]);
    }

    #[test]
    fn the_configuration_names_the_application() {
        let digest = digest(b"app");
        let config = config(Some(digest.clone())).unwrap();
        let json = String::from_utf8(config.data.to_vec()).unwrap();
        assert!(json.contains(&digest) && json.contains("\"wasm\""), "{json}");
    }
}
