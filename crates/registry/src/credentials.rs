//! Credentials from Docker's configuration: `$DOCKER_CONFIG/config.json`, else
//! `~/.docker/config.json`, and the helpers that it names.

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential};
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;

use crate::Error;

/// Docker Hub's registries, and the name that Docker keeps their credentials under.
const HUB: [&str; 2] = ["docker.io", "index.docker.io"];
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Those for the reference's registry; none if nothing is configured.
pub fn of(reference: &Reference) -> Result<RegistryAuth, Error> {
    let registry = reference.resolve_registry();
    let key = if HUB.contains(&registry) { HUB_KEY } else { registry };
    match get_credential(key) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(RegistryAuth::Basic(user, password))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(RegistryAuth::Bearer(token)),
        Err(
            CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::NoCredentialConfigured,
        ) => Ok(RegistryAuth::Anonymous),
        Err(source) => Err(Error::Credentials { registry: registry.into(), source }),
    }
}
