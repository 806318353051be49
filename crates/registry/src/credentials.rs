//! Credentials from Docker's configuration and the helpers that it names.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;

use crate::Error;

/// Docker Hub's registries, and the name that Docker keeps their credentials under.
const HUB: [&str; 2] = ["docker.io", "index.docker.io"];
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Those for the reference's registry; none if nothing is configured.
pub fn of(reference: &Reference) -> Result<RegistryAuth, Error> {
    let registry = reference.resolve_registry();
    configuration().map_or(Ok(RegistryAuth::Anonymous), |path| in_file(path, registry))
}

/// Without usable credentials requests are anonymous; a registry that requires credentials refuses
/// them then.
fn in_file(path: PathBuf, registry: &str) -> Result<RegistryAuth, Error> {
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(source) => return Err(Error::Configuration { path, source }),
    };
    let key = if HUB.contains(&registry) { HUB_KEY } else { registry };
    match get_credential_from_reader(file, key) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(RegistryAuth::Basic(user, password))
        }
        Ok(DockerCredential::IdentityToken(_)) => {
            Err(Error::IdentityToken { registry: registry.into(), path })
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        // So a helper says that it has none, too; what it says is not shown.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            tracing::warn!(helper, registry, "Docker's credential helper has nothing: anonymous");
            Ok(RegistryAuth::Anonymous)
        }
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, registry, %error, "no usable credentials: anonymous");
            Ok(RegistryAuth::Anonymous)
        }
    }
}

/// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
fn configuration() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty());
    let folder = folder.map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_usable_credentials_leaves_an_open_registry_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert_eq!(in_file(path.clone(), "registry.example").unwrap(), RegistryAuth::Anonymous);
        for text in ["", "{", "[]", r#"{"auths": 1}"#, r#"{"auths": {"registry.example": {}}}"#] {
            std::fs::write(&path, text).unwrap();
            let auth = in_file(path.clone(), "registry.example").unwrap();
            assert_eq!(auth, RegistryAuth::Anonymous, "{text}");
        }
        // "user:password"
        let auths = r#"{"auths": {"registry.example": {"auth": "dXNlcjpwYXNzd29yZA=="}}}"#;
        std::fs::write(&path, auths).unwrap();
        let basic = RegistryAuth::Basic("user".into(), "password".into());
        assert_eq!(in_file(path, "registry.example").unwrap(), basic);
    }
}
