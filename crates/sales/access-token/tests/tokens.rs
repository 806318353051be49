//! Tokens of every kind: which are valid, and that no other one passes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use access_token::{Claims, Demand, Guard, Keys, KeysError, Refusal, Settings, bearer};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, header};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Private keys that sign in these tests, and nowhere else.
const RSA: &[u8] = include_bytes!("keys/rsa.der");
const EC: &[u8] = include_bytes!("keys/ec.der");
const ED: &[u8] = include_bytes!("keys/ed.der");
const SECRET: &[u8] = b"a secret of this test, 32 bytes.";

const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256];

const SETTINGS: Settings<'static> = Settings {
    issuer: "https://issuer.example",
    audience: "orders, stock",
    clock_skew_s: "30",
    routes: r#"[
        {"path": "/health", "public": true},
        {"path": "/admin/...", "methods": ["POST"], "claims": {"role": ["admin", "owner"], "scope": "write"}},
        {"path": "/read/...", "methods": ["GET"], "claims": {"role": "admin"}},
        {"path": "/staff/...", "claims": {"/realm/roles": "staff"}}
    ]"#,
    claim_headers: r#"{"sub": "x-token-subject", "role": "x-token-role"}"#,
};

fn signing(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_der(RSA),
        Algorithm::ES256 => EncodingKey::from_ec_der(EC),
        Algorithm::EdDSA => EncodingKey::from_ed_der(ED),
        _ => EncodingKey::from_secret(SECRET).unwrap(),
    }
}

fn id(algorithm: Algorithm) -> String {
    format!("key-{algorithm:?}")
}

/// The key set with the public keys, and the shared secret.
fn key_set() -> Value {
    let keys = ALGORITHMS.map(|algorithm| {
        let mut jwk = Jwk::from_encoding_key(&signing(algorithm), algorithm).unwrap();
        jwk.common.key_id = Some(id(algorithm));
        serde_json::to_value(jwk).unwrap()
    });
    json!({ "keys": keys })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "orders", "exp": now() + 600, "sub": "ada",
        "role": "owner", "scope": "read write", "realm": {"roles": ["staff"]},
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn sign(algorithm: Algorithm, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(id(algorithm));
    encode(&header, claims, &signing(algorithm)).unwrap()
}

/// A token with any header, signed as `signer` signs.
fn sign_as(signer: Algorithm, key: &EncodingKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, signer).unwrap();
    format!("{message}.{signature}")
}

struct Checker {
    guard: Guard,
    keys: Keys,
}

impl Checker {
    fn new() -> Self {
        let keys = Keys::configured(&key_set().to_string()).unwrap();
        Self { guard: Guard::new(&SETTINGS).unwrap(), keys }
    }

    fn check(&self, token: &str) -> Result<Claims, Refusal> {
        let mut headers = HeaderMap::new();
        let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}")) else {
            // Such a request does not get past an HTTP server.
            return Err(Refusal::Malformed);
        };
        headers.insert(header::AUTHORIZATION, value);
        self.guard.verify(bearer(&headers)?, &self.keys)
    }
}

#[test]
fn a_valid_token_of_each_algorithm_passes() {
    let checker = Checker::new();
    for algorithm in ALGORITHMS {
        let claims = checker.check(&sign(algorithm, &claims())).unwrap();
        assert_eq!(claims["sub"], "ada", "{algorithm:?}");
        // Without a key id, each key for the algorithm is tried.
        let token = encode(&Header::new(algorithm), &self::claims(), &signing(algorithm)).unwrap();
        assert!(checker.check(&token).is_ok(), "{algorithm:?}");
    }
    for tolerated in [
        with("aud", json!(["other", "stock"])),
        with("exp", json!(now() - 10)),
        with("nbf", json!(now() + 10)),
        with("exp", json!(now() as f64 + 600.5)),
    ] {
        assert!(checker.check(&sign(Algorithm::HS256, &tolerated)).is_ok(), "{tolerated}");
    }
}

#[test]
fn a_thousand_invalid_tokens_of_every_kind_do_not_pass() {
    let checker = Checker::new();
    let mut count = 0;
    let mut refuse = |token: &str, what: &str| {
        count += 1;
        let result = checker.check(token);
        assert!(result.is_err(), "{what}: {token}");
    };
    // Claims.
    let far = json!(now() + 86_400);
    let invalid_claims = [
        with("exp", json!(now() - 120)),
        with("exp", json!(0)),
        with("exp", json!(-1)),
        with("exp", json!("soon")),
        with("exp", json!(far.to_string())),
        with("exp", json!(null)),
        with("exp", json!([far])),
        with("exp", json!(1e300)),
        without("exp"),
        with("nbf", far.clone()),
        with("nbf", json!("now")),
        with("nbf", json!(-1)),
        with("iss", json!("https://issuer.example.evil")),
        with("iss", json!("HTTPS://issuer.example")),
        with("iss", json!("https://issuer.example/")),
        with("iss", json!(["https://issuer.example"])),
        with("iss", json!(1)),
        with("iss", json!("")),
        without("iss"),
        with("aud", json!("order")),
        with("aud", json!("orders, stock")),
        with("aud", json!(["a", "b"])),
        with("aud", json!([])),
        with("aud", json!({"orders": true})),
        without("aud"),
        json!([]),
        json!("text"),
        json!(null),
    ];
    for algorithm in ALGORITHMS {
        for claims in &invalid_claims {
            refuse(&sign(algorithm, claims), &format!("{algorithm:?} {claims}"));
        }
    }
    // A claim that occurs twice.
    let twice = claims().to_string().replacen('{', "{\"exp\":1,", 1);
    let header = json!({"alg": "HS256", "kid": id(Algorithm::HS256)});
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(twice));
    let secret = signing(Algorithm::HS256);
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
    refuse(&format!("{message}.{signature}"), "a claim twice");
    // No signature, and other algorithms.
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS1", "ES256K", "RS256 ", "null"] {
        for kid in [None, Some(id(Algorithm::RS256)), Some(id(Algorithm::HS256))] {
            let header = json!({"alg": algorithm, "kid": kid});
            let signed = sign_as(Algorithm::HS256, &secret, &header, &claims());
            refuse(&signed, algorithm);
            let (message, _) = signed.rsplit_once('.').unwrap();
            refuse(&format!("{message}."), algorithm);
            refuse(message, algorithm);
        }
    }
    // The signature of one algorithm under the name of another.
    for signer in ALGORITHMS {
        for named in ALGORITHMS.into_iter().filter(|named| *named != signer) {
            for kid in [None, Some(id(named)), Some(id(signer))] {
                let header = json!({"alg": format!("{named:?}"), "kid": kid});
                let token = sign_as(signer, &signing(signer), &header, &claims());
                refuse(&token, &format!("{signer:?} as {named:?}"));
            }
        }
    }
    // Known keys as the secret: what is public must not verify HS256.
    let set = key_set();
    for (index, algorithm) in ALGORITHMS[..3].iter().enumerate() {
        let jwk = &set["keys"][index];
        for field in ["n", "e", "x", "y", "kid"] {
            let Some(text) = jwk[field].as_str() else { continue };
            for secret in
                [text.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(text).unwrap_or(vec![1])]
            {
                let key = EncodingKey::from_secret(&secret).unwrap();
                for kid in [None, Some(id(*algorithm)), Some(id(Algorithm::HS256))] {
                    let header = json!({"alg": "HS256", "kid": kid});
                    refuse(&sign_as(Algorithm::HS256, &key, &header, &claims()), field);
                }
            }
        }
        let key = EncodingKey::from_secret(jwk.to_string().as_bytes()).unwrap();
        refuse(&sign_as(Algorithm::HS256, &key, &header, &claims()), "the key's JSON");
    }
    // Keys that the token brings with it, or that are not known.
    let other = EncodingKey::from_secret(b"another secret, also of 32 bytes").unwrap();
    let own =
        serde_json::to_value(Jwk::from_encoding_key(&other, Algorithm::HS256).unwrap()).unwrap();
    for header in [
        json!({"alg": "HS256", "jwk": own}),
        json!({"alg": "HS256", "jku": "http://127.0.0.1/keys", "kid": id(Algorithm::HS256)}),
        json!({"alg": "HS256", "kid": "../key"}),
        json!({"alg": "HS256", "kid": ""}),
    ] {
        refuse(&sign_as(Algorithm::HS256, &other, &header, &claims()), "another key");
    }
    for kid in ["", "key", "KEY-HS256", "key-HS256 ", "key-RS256"] {
        let header = json!({"alg": "HS256", "kid": kid});
        refuse(&sign_as(Algorithm::HS256, &secret, &header, &claims()), "another key id");
    }
    // Extensions that must be understood.
    for extra in [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"b64": false}),
        json!({"crit": ["b64"], "b64": false}),
    ] {
        let mut header = header.clone();
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        refuse(&sign_as(Algorithm::HS256, &secret, &header, &claims()), "an extension");
    }
    // Every character changed, every end cut off, and other encodings.
    let valid = sign(Algorithm::HS256, &claims());
    assert!(checker.check(&valid).is_ok());
    for at in 0..valid.len() {
        for other in [b'A', b'_'].into_iter().filter(|other| valid.as_bytes()[at] != *other) {
            let mut changed = valid.clone().into_bytes();
            changed[at] = other;
            refuse(&String::from_utf8(changed).unwrap(), "a changed character");
        }
        refuse(&valid[..at], "an end cut off");
    }
    for algorithm in ALGORITHMS {
        let valid = sign(algorithm, &claims());
        let parts: Vec<&str> = valid.split('.').collect();
        let [head, body, signature] = parts[..] else { panic!() };
        let again = |engine: &dyn Fn(Vec<u8>) -> String, text: &str| {
            engine(URL_SAFE_NO_PAD.decode(text).unwrap())
        };
        let padded = |text: &str| format!("{text}=");
        let standard = |text: &str| again(&|bytes| STANDARD.encode(bytes), text);
        let url_safe = |text: &str| again(&|bytes| URL_SAFE.encode(bytes), text);
        for token in [
            format!("{}.{body}.{signature}", padded(head)),
            format!("{head}.{}.{signature}", padded(body)),
            format!("{head}.{body}.{}", padded(signature)),
            format!("{head}.{body}.{signature}\n"),
            format!("{head}.{body}. {signature}"),
            format!("{head}.{body}"),
            format!("{head}..{signature}"),
            format!(".{body}.{signature}"),
            format!("{head}.{body}.{signature}."),
            format!(".{head}.{body}.{signature}"),
            format!("{head}.{body}.{signature}.{signature}"),
            format!("{head}.{body}.{signature},{head}.{body}.{signature}"),
            format!("{head}.{body}.{signature} {head}.{body}.{signature}"),
            format!("\"{head}.{body}.{signature}\""),
            format!("{head}.{body}.{}", "A".repeat(signature.len())),
            format!("{head}.{body}.{}", "A".repeat(9_000)),
            String::new(),
            ".".into(),
            "..".into(),
        ] {
            refuse(&token, &format!("{algorithm:?}, another form"));
        }
        for other in [standard(signature), url_safe(signature)] {
            if other != signature {
                refuse(&format!("{head}.{body}.{other}"), "another base64");
            }
        }
    }
    assert!(count >= 1_000, "only {count}");
}

#[test]
fn a_request_has_exactly_one_token() {
    let headers = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    };
    assert_eq!(bearer(&headers(&[])), Err(Refusal::Missing));
    assert_eq!(bearer(&headers(&[b"bEARER a.b-c_"])), Ok("a.b-c_"));
    for malformed in [
        &[&b"Bearer a"[..], b"Bearer b"][..],
        &[b"Bearer a", b"Basic b"],
        &[b"Basic a"],
        &[b"Bearer"],
        &[b"Bearer "],
        &[b"Bearer  a"],
        &[b"Bearer a b"],
        &[b"Bearer a,b"],
        &[b"Bearer a="],
        &[b"Bearer a+/"],
        &[b"Bearer\ta"],
        &[b"Bearer \xff"],
        &[b"a"],
        &[b""],
    ] {
        assert_eq!(bearer(&headers(malformed)), Err(Refusal::Malformed), "{malformed:?}");
    }
    let long = format!("Bearer {}", "a".repeat((8 << 10) + 1));
    assert_eq!(bearer(&headers(&[long.as_bytes()])), Err(Refusal::TooLong));
}

#[test]
fn rules_decide_what_a_request_needs() {
    let guard = Guard::new(&SETTINGS).unwrap();
    let check = |method, path: &str, claims: Value| match guard.demand(&method, path)? {
        Demand::Nothing => Ok("public"),
        Demand::Token(required) => {
            guard.authorize(required, claims.as_object().unwrap()).map(|_| "permitted")
        }
    };
    for (method, path, claims, expected) in [
        (Method::GET, "/health", json!({}), Ok("public")),
        (Method::GET, "/health/x", json!({}), Ok("permitted")),
        (Method::GET, "/admin/x", json!({}), Ok("permitted")),
        (Method::HEAD, "/read/x", json!({}), Err(Refusal::Forbidden)),
        (Method::HEAD, "/read/x", json!({"role": "admin"}), Ok("permitted")),
        (Method::POST, "/read/x", json!({}), Ok("permitted")),
        (Method::POST, "/admin/x", json!({}), Err(Refusal::Forbidden)),
        (Method::POST, "/%61dmin/x", json!({}), Err(Refusal::Forbidden)),
        (Method::POST, "/admin", json!({"role": "admin"}), Err(Refusal::Forbidden)),
        (Method::POST, "/admin", json!({"role": "admin", "scope": "a write"}), Ok("permitted")),
        (
            Method::POST,
            "/admin",
            json!({"role": "user", "scope": "write"}),
            Err(Refusal::Forbidden),
        ),
        (Method::GET, "/staff/1", claims(), Ok("permitted")),
        (Method::GET, "/staff/1", json!({"realm": "staff"}), Err(Refusal::Forbidden)),
        (Method::GET, "/health/../admin", claims(), Err(Refusal::Path)),
        (Method::POST, "//admin", claims(), Err(Refusal::Path)),
        (Method::POST, "/x/%2e%2e/admin", claims(), Err(Refusal::Path)),
    ] {
        assert_eq!(check(method, path, claims.clone()), expected, "{path} {claims}");
    }
}

#[test]
fn headers_with_claims_cannot_be_forged() {
    let guard = Guard::new(&SETTINGS).unwrap();
    let mut headers = HeaderMap::new();
    for name in ["x-token-subject", "x_token-subject", "x_token_role", "x-token", "accept"] {
        headers.append(http::HeaderName::from_static(name), HeaderValue::from_static("forged"));
    }
    let mut forged: Vec<_> = guard.forged(&headers).iter().map(|n| n.as_str().to_owned()).collect();
    forged.sort();
    assert_eq!(forged, ["x-token-subject", "x_token-subject", "x_token_role"]);
    let passed = guard.authorize(&[], claims().as_object().unwrap()).unwrap();
    assert_eq!(passed["x-token-subject"], "ada");
    assert_eq!(passed["x-token-role"], "owner");
    let strange = with("sub", json!("a\r\nx-admin: 1"));
    assert_eq!(guard.authorize(&[], strange.as_object().unwrap()), Err(Refusal::Claim));
}

#[test]
fn keys_that_cannot_be_used_are_refused_or_left_out() {
    let rsa = key_set()["keys"][0].clone();
    let changed = |field: &str, value: Value| {
        let mut key = rsa.clone();
        key[field] = value;
        json!({ "keys": [key] }).to_string()
    };
    let ed = |x: &str| json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string();
    for (set, expected) in [
        (changed("use", json!("enc")), "`use`"),
        (changed("key_ops", json!(["sign"])), "`use`"),
        (changed("alg", json!("RS512")), "`alg`"),
        (changed("alg", json!("HS256")), "`alg`"),
        (changed("n", json!("AQAB")), "2,048"),
        (changed("kty", json!("EC")), "type or curve"),
        (ed("AA"), "32 bytes"),
        (r#"{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}"#.into(), "32 bytes"),
    ] {
        let fault = Keys::configured(&set).map(drop).unwrap_err().to_string();
        assert!(fault.starts_with("key 0: "), "{fault}");
        assert!(fault.contains(expected) || fault.contains("not valid"), "{expected}: {fault}");
        assert_eq!(Keys::published(set.as_bytes()).map(drop), Err(KeysError::None), "{set}");
    }
    // A published secret is not secret, so it verifies nothing.
    let keys = Keys::published(key_set().to_string().as_bytes()).unwrap();
    let checker = Checker { keys, ..Checker::new() };
    assert!(checker.check(&sign(Algorithm::ES256, &claims())).is_ok());
    let refusal = checker.check(&sign(Algorithm::HS256, &claims())).unwrap_err();
    assert_eq!(refusal, Refusal::UnknownKey);
    for text in ["", "{}", "[]", r#"{"keys": {}}"#, r#"{"keys": []}"#] {
        assert!(Keys::published(text.as_bytes()).is_err() && Keys::configured(text).is_err());
    }
    assert!(Keys::published(&vec![b' '; (64 << 10) + 1]).is_err());
}

#[test]
fn an_error_in_the_keys_does_not_contain_them() {
    for text in
        [r#"{"keys":"hidden"}"#, r#""hidden""#, r#"{"keys":[{"kty":"hidden"}]}"#, "{\n hidden"]
    {
        let fault = Keys::configured(text).map(drop).unwrap_err().to_string();
        assert!(!fault.contains("hidden"), "{fault}");
    }
    let fault = Keys::configured("{\n hidden").map(drop).unwrap_err().to_string();
    assert_eq!(fault, "not a JSON Web Key Set: line 2, column 2");
}

/// An issuer whose keys have no ids, or that does not name them in its tokens, may have a newer key.
#[test]
fn a_key_without_an_id_may_be_replaced() {
    let guard = Guard::new(&SETTINGS).unwrap();
    let keys = |secret: &[u8], id: Option<&str>| {
        let key = EncodingKey::from_secret(secret).unwrap();
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::HS256).unwrap();
        jwk.common.key_id = id.map(Into::into);
        Keys::configured(&json!({ "keys": [jwk] }).to_string()).unwrap()
    };
    let token = |id: Option<&str>, claims: &Value| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = id.map(Into::into);
        encode(&header, claims, &signing(Algorithm::HS256)).unwrap()
    };
    const OLD: &[u8] = b"the older secret, also 32 bytes.";
    for (in_token, in_keys, refusal) in [
        (None, None, Refusal::UnknownKey),
        (Some("a"), None, Refusal::UnknownKey),
        (None, Some("a"), Refusal::UnknownKey),
        (Some("a"), Some("b"), Refusal::UnknownKey),
        (Some("a"), Some("a"), Refusal::Invalid),
    ] {
        let check = |claims: &Value, secret| {
            guard.verify(&token(in_token, claims), &keys(secret, in_keys)).map(drop)
        };
        assert_eq!(check(&claims(), OLD), Err(refusal), "{in_token:?} {in_keys:?}");
        // A token whose signature is valid does not need newer keys.
        if in_token != Some("a") || in_keys != Some("b") {
            assert_eq!(check(&claims(), SECRET), Ok(()), "{in_token:?} {in_keys:?}");
            assert_eq!(check(&with("iss", json!("x")), SECRET), Err(Refusal::Invalid));
        }
    }
}

static CHECKER: LazyLock<Checker> = LazyLock::new(Checker::new);

proptest! {
    #[test]
    fn no_text_is_a_valid_token(text in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
        prop_assert!(CHECKER.check(&text).is_err());
    }

    #[test]
    fn no_header_is_accepted_without_a_signature(
        header in "\\{\"alg\":\"(HS256|ES256|EdDSA|none)\"(,\"[a-z]{1,4}\":(1|null|\"[a-z]*\"))?\\}",
        signature in "[A-Za-z0-9_-]{0,90}",
    ) {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.{signature}", part(&header), part(&claims().to_string()));
        prop_assert!(CHECKER.check(&token).is_err());
    }

    #[test]
    fn no_path_makes_the_guard_fail(path in "[ -~]{0,30}", method in "[A-Z]{1,7}") {
        let _ = CHECKER.guard.demand(&method.parse().unwrap(), &path);
    }
}
