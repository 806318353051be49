//! Downloads the components that an application names by URL and digest, and keeps them for later
//! starts.
//!
//! [`fetch`] sets the content of each such source. A digest decides what a component is: the content of
//! a download and of a cached file is used only if it has the digest that the manifest says.

mod cache;
mod client;
mod digest;
mod error;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use spin_app::App;
use url::Url;

use cache::Cache;
use client::Client;
pub use error::Error;

/// The most bytes of all components that are downloaded for an application. They are kept in memory.
const BYTES_MAX: usize = 512 << 20;

/// How long all downloads of an application may take together: 512 MiB at about a megabyte per second.
const WHOLE_LIMIT: Duration = Duration::from_secs(600);

/// Downloads the components of the application that are at URLs, unless they are in the user's cache
/// folder. A cache that cannot be used is only logged.
///
/// The future is boxed, because otherwise the crate of a caller would compile the HTTP client again.
pub fn fetch(app: &mut App) -> BoxFuture<'_, Result<(), Error>> {
    async {
        let fetching = fetch_within(app, Cache::of_user(), BYTES_MAX);
        let slow = |_| Error::Slow { limit: WHOLE_LIMIT };
        tokio::time::timeout(WHOLE_LIMIT, fetching).await.map_err(slow)?
    }
    .boxed()
}

async fn fetch_within(app: &mut App, cache: Option<Cache>, bytes_max: usize) -> Result<(), Error> {
    let mut fetched: HashMap<String, Bytes> = HashMap::new();
    let mut client = None;
    let mut left = bytes_max;
    for source in app.sources_mut() {
        let Some((url, digest)) = source.download() else { continue };
        let content = match fetched.get(digest) {
            Some(content) => content.clone(),
            None => {
                let content = match cached(&cache, digest, left).await {
                    Some(content) => content,
                    None => download(&mut client, &cache, &url, digest, left).await?,
                };
                left = left.saturating_sub(content.len());
                fetched.insert(digest.into(), content.clone());
                content
            }
        };
        source.set_content(content);
    }
    Ok(())
}

/// The content with this digest from the cache, on a separate thread: computing the digest takes long.
async fn cached(cache: &Option<Cache>, digest: &str, bytes_max: usize) -> Option<Bytes> {
    let (cache, digest) = (cache.clone()?, digest.to_owned());
    let read = move || cache.read(&digest, bytes_max);
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

async fn download(
    client: &mut Option<Client>,
    cache: &Option<Cache>,
    url: &Url,
    digest: &str,
    bytes_max: usize,
) -> Result<Bytes, Error> {
    let client = match client {
        Some(client) => client,
        None => client.insert(Client::new()?),
    };
    tracing::info!(%url, "downloading a component");
    let content = client.get(url, bytes_max).await?;
    let (cache, expected, checked) = (cache.clone(), digest.to_owned(), content.clone());
    let check = move || {
        let actual = digest::of(&checked);
        if actual != expected {
            return Some(actual);
        }
        if let Some(cache) = cache {
            cache.write(&expected, &checked);
        }
        None
    };
    match tokio::task::spawn_blocking(check).await {
        Ok(None) => Ok(content),
        Ok(Some(actual)) => {
            Err(Error::Digest { url: url.to_string(), expected: digest.into(), actual })
        }
        Err(panic) => Err(Error::Check(panic)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;
    use spin_app::manifest;

    use super::*;

    const CONTENT: &[u8] = b"the content of a component";

    /// A server with a file, and the number of requests for it.
    struct Server {
        address: String,
        requests: Arc<AtomicUsize>,
    }

    impl Server {
        async fn start() -> Self {
            let requests = Arc::new(AtomicUsize::new(0));
            let counted = requests.clone();
            let file = get(async move || {
                counted.fetch_add(1, Ordering::Relaxed);
                CONTENT
            });
            let router = Router::new()
                .route("/file", file)
                .route("/moved", get(async || Redirect::temporary("/file")));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            tokio::spawn(async move { axum::serve(listener, router).await });
            Self { address, requests }
        }

        fn requests(&self) -> usize {
            self.requests.load(Ordering::Relaxed)
        }

        /// An application whose components are at this path, with this digest.
        fn app(&self, path: &str, digest: &str) -> App {
            let remote =
                format!("{{ url = \"http://{}{path}\", digest = \"{digest}\" }}", self.address);
            let text = format!(
                "spin_manifest_version = 2\n[application]\nname = \"a\"\n\
                 [component.a]\nsource = {remote}\ndependencies = {{ \"a:b\" = {remote} }}\n\
                 [component.b]\nsource = \"b.wasm\"\n"
            );
            manifest::parse(Path::new("spin.toml"), &text).unwrap()
        }
    }

    fn contents(app: &App) -> Vec<Vec<u8>> {
        let sources = app.components[0].sources();
        sources.map(|source| source.read().unwrap().into_owned()).collect()
    }

    #[tokio::test]
    async fn a_component_is_downloaded_once() {
        let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
        let cache = Cache::at(folder.path().join("cache"));
        // A component and its dependency have the same content.
        for path in ["/moved", "/file"] {
            let mut app = server.app(path, &digest::of(CONTENT));
            fetch_within(&mut app, Some(cache.clone()), BYTES_MAX).await.unwrap();
            assert_eq!(contents(&app), [CONTENT, CONTENT]);
            assert_eq!(server.requests(), 1, "{path}");
        }
        // A cached file that was changed is not used.
        let entry =
            std::fs::read_dir(folder.path().join("cache")).unwrap().next().unwrap().unwrap();
        std::fs::write(entry.path(), "changed").unwrap();
        let mut app = server.app("/file", &digest::of(CONTENT));
        fetch_within(&mut app, Some(cache), BYTES_MAX).await.unwrap();
        assert_eq!((contents(&app)[0].as_slice(), server.requests()), (CONTENT, 2));
        assert_eq!(std::fs::read(entry.path()).unwrap(), CONTENT);
        // Without a cache.
        let mut app = server.app("/file", &digest::of(CONTENT));
        fetch_within(&mut app, None, BYTES_MAX).await.unwrap();
        assert_eq!((contents(&app)[0].as_slice(), server.requests()), (CONTENT, 3));
    }

    #[tokio::test]
    async fn what_is_not_the_component_is_refused() {
        let server = Server::start().await;
        let digest = digest::of(CONTENT);
        let fault = async |path, digest: &str, bytes_max| {
            let mut app = server.app(path, digest);
            let error = fetch_within(&mut app, None, bytes_max).await.unwrap_err();
            (error.to_string(), error.is_retriable())
        };
        let other = digest::of(b"other");
        let (error, is_retriable) = fault("/file", &other, BYTES_MAX).await;
        assert!(error.contains(&digest) && error.contains(&other) && !is_retriable, "{error}");
        let (error, is_retriable) = fault("/file", &digest, CONTENT.len() - 1).await;
        assert!(error.contains("more than 25 bytes") && !is_retriable, "{error}");
        let (error, is_retriable) = fault("/missing", &digest, BYTES_MAX).await;
        assert!(error.contains("/missing: it answered 404") && !is_retriable, "{error}");
        let nobody = Server { address: "127.0.0.1:1".into(), requests: Arc::default() };
        let mut app = nobody.app("/file", &digest);
        let error = fetch_within(&mut app, None, BYTES_MAX).await.unwrap_err();
        assert!(error.is_retriable(), "{error}");
        // Both together may not be larger, although each of them may.
        fetch_within(&mut server.app("/file", &digest), None, CONTENT.len()).await.unwrap();
    }
}
