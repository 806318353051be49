//! Credentials from Docker's configuration and the helpers that it names.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;
use tokio::sync::oneshot;

use crate::Error;

/// The names of Docker Hub's registry, and the name under which Docker stores the credentials for
/// it.
const HUB: [&str; 2] = ["docker.io", "index.docker.io"];
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// How long a credential helper may take. It may ask the user for a password.
const HELPER_LIMIT: Duration = Duration::from_secs(60);

/// The credentials for the registry of the reference; anonymous if none are configured.
pub async fn of(reference: &Reference) -> Result<RegistryAuth, Error> {
    let Some(path) = configuration() else { return Ok(RegistryAuth::Anonymous) };
    let registry = reference.resolve_registry().to_owned();
    let late =
        Error::Helper { registry: registry.clone(), path: path.clone(), limit: HELPER_LIMIT };
    within_limit(move || in_file(path, &registry)).await.unwrap_or(Err(late))
}

/// Runs `work` on a separate thread. `None` if it takes longer than the limit: neither the caller
/// nor the end of the program must wait for a helper that never ends.
async fn within_limit<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    // If no thread can be created, the sender is dropped, which also results in `None`.
    let _ = std::thread::Builder::new().name("credentials".into()).spawn(move || {
        // After the limit there is no receiver any more.
        let _ = answer.send(work());
    });
    tokio::time::timeout(HELPER_LIMIT, answered).await.ok()?.ok()
}

/// The credentials in Docker's configuration file. Without usable credentials requests are
/// anonymous, and a registry that requires credentials refuses them.
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
        // A helper also reports in this way that it has no credentials. Its output is not logged.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            tracing::warn!(helper, registry, "Docker's helper has no credentials: anonymous");
            Ok(RegistryAuth::Anonymous)
        }
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, registry, %error, "no usable credentials: anonymous");
            Ok(RegistryAuth::Anonymous)
        }
    }
}

/// `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json` if the variable is not set.
fn configuration() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty());
    let folder = folder.map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_helper_that_does_not_end_is_not_waited_for() {
        let (_running, runs) = std::sync::mpsc::channel::<()>();
        assert_eq!(within_limit(move || runs.recv().is_ok()).await, None);
    }

    #[tokio::test]
    async fn a_helper_that_ends_has_an_answer() {
        assert_eq!(within_limit(|| 1).await, Some(1));
    }

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
