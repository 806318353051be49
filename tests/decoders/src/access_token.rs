//! Requests that the component `jwt` checks: the key set of an issuer, a path and a token, each on
//! its own line.

use std::sync::LazyLock;

use access_token::{Demand, Guard, Keys, Settings, bearer};
use http::{HeaderMap, HeaderValue, Method, header};

static GUARD: LazyLock<Guard> = LazyLock::new(|| {
    let settings = Settings {
        issuer: "https://issuer.example",
        audience: "orders",
        routes: r#"[{"path": "/public/...", "public": true}]"#,
        claim_headers: r#"{"sub": "x-token-subject", "/a/b": "x-token-b"}"#,
        ..Settings::default()
    };
    Guard::new(&settings).expect("valid settings")
});

/// A path is public only if it is below `/public`, however it is decoded. A token is accepted only
/// with the issuer and the audience, and its claims become valid headers.
pub fn check(input: &[u8]) {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (keys, path, token) = (Keys::published(next()), next(), next());
    if let Ok(path) = std::str::from_utf8(path)
        && let Ok(Demand::Nothing) = GUARD.demand(&Method::GET, path)
    {
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        assert!(decoded == "/public" || decoded.starts_with("/public/"), "{path}");
        assert!(!decoded.split('/').any(|segment| matches!(segment, "." | "..")), "{path}");
    }
    let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", token].concat()) else { return };
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
    if let (Ok(keys), Ok(token)) = (keys, bearer(&headers))
        && let Ok(claims) = GUARD.verify(token, &keys)
    {
        assert_eq!(
            claims.get("iss").and_then(|issuer| issuer.as_str()),
            Some("https://issuer.example")
        );
        if let Ok(headers) = GUARD.authorize(&[], &claims) {
            assert!(headers.values().all(|value| value.to_str().is_ok()));
        }
    }
}
