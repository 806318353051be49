//! An OpenID Connect provider that issues signed tokens with a short lifetime.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::security::TokenIssuer;

/// The id of the key, in each token and in the key set.
const KEY_ID: &str = "signing-key";
/// The bytes of a public key before its two coordinates of equal length.
const POINT_PREFIX: usize = 1;

/// A client of the provider, and the tokens that it gets.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// The client's id, and the subject of its tokens. It may contain letters, digits and `-`.
    pub client_id: String,
    /// The client's secret. It may contain letters, digits and `-`.
    pub client_secret: String,
    /// The audience, which the client must request.
    pub audience: String,
    /// How long a token is valid, in whole seconds.
    pub token_lifetime: Duration,
}

/// A provider on the loopback interface. It ends with the runtime.
pub struct OidcProvider {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

struct Shared {
    config: OidcConfig,
    issuer: String,
    key: EcdsaKeyPair,
    random: SystemRandom,
    issued: AtomicU64,
}

impl OidcProvider {
    /// Starts the provider.
    pub async fn start(config: OidcConfig) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let failed = |_| anyhow!("cannot create a key");
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random)
            .map_err(|error| anyhow!("cannot read the key: {error}"))?;
        let issuer = format!("http://{address}");
        let issued = AtomicU64::new(0);
        let shared = Arc::new(Shared { config, issuer, key, random, issued });
        let server = serve(listener, shared.clone());
        Ok(Self { shared, address, server })
    }

    /// Its URL, at which its metadata can be discovered.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// What a broker must know to verify the tokens.
    pub fn token_issuer(&self) -> TokenIssuer {
        TokenIssuer {
            issuer: self.shared.issuer.clone(),
            keys_url: format!("{}/keys", self.shared.issuer),
            audience: self.shared.config.audience.clone(),
        }
    }

    /// The number of tokens that were issued.
    pub fn issued(&self) -> u64 {
        self.shared.issued.load(Ordering::Relaxed)
    }

    /// Stops to accept connections, like a provider that has crashed.
    pub async fn stop(&mut self) {
        self.server.abort();
        // The listener is closed when the task has ended. The result says that it was aborted.
        let _ = (&mut self.server).await;
    }

    /// Accepts connections again, on the same port with the same key.
    pub async fn resume(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", self.address))?;
        self.server = serve(listener, self.shared.clone());
        Ok(())
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn serve(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/keys", get(keys))
        .route("/token", post(token))
        .with_state(shared);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the OpenID Connect provider has ended");
        }
    })
}

async fn metadata(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let issuer = &shared.issuer;
    Json(json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    }))
}

/// The public key as a JSON Web Key Set (RFC 7517).
async fn keys(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let point = shared.key.public_key().as_ref().get(POINT_PREFIX..).unwrap_or_default();
    let (x, y) = point.split_at(point.len() / 2);
    Json(json!({ "keys": [{
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "kid": KEY_ID,
        "x": URL_SAFE_NO_PAD.encode(x),
        "y": URL_SAFE_NO_PAD.encode(y),
    }] }))
}

/// The token endpoint (RFC 6749, section 4.4), with HTTP Basic authentication.
async fn token(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(parameters): Form<Vec<(String, String)>>,
) -> (StatusCode, Json<Value>) {
    let OidcConfig { client_id, client_secret, audience, token_lifetime } = &shared.config;
    let has = |name: &str, value: &str| {
        parameters.iter().any(|(known, given)| known == name && given == value)
    };
    let refused = |status, code| (status, Json(json!({ "error": code })));
    let expected = format!("Basic {}", STANDARD.encode(format!("{client_id}:{client_secret}")));
    if headers
        .get(header::AUTHORIZATION)
        .is_none_or(|given| given.as_bytes() != expected.as_bytes())
    {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    if !has("grant_type", "client_credentials") {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    if !has("audience", audience) {
        return refused(StatusCode::BAD_REQUEST, "invalid_target");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let number = shared.issued.fetch_add(1, Ordering::Relaxed);
    let claims = json!({
        "iss": shared.issuer,
        "sub": client_id,
        "aud": audience,
        "iat": now,
        "exp": now + token_lifetime.as_secs(),
        "jti": number.to_string(),
        "scope": "kafka",
    });
    match shared.sign(&claims) {
        Ok(token) => {
            let expires_in = token_lifetime.as_secs();
            let answer =
                json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in });
            (StatusCode::OK, Json(answer))
        }
        Err(error) => {
            tracing::error!(%error, "cannot sign a token");
            refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error")
        }
    }
}

impl Shared {
    /// A JSON Web Token with these claims (RFC 7519).
    fn sign(&self, claims: &Value) -> Result<String> {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": KEY_ID });
        let [header, claims] =
            [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.key.sign(&self.random, signed.as_bytes());
        let signature = signature.map_err(|_| anyhow!("the key does not sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
