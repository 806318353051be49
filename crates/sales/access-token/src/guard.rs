//! The checks of a request.

use component_settings::SettingError;
use http::{HeaderMap, HeaderName, Method, header};
use http_text::decode_path;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::Refusal;
use crate::claim::{ClaimName, header_value};
use crate::config::Settings;
use crate::keys::Keys;
use crate::route::Route;

/// Maximum length of a token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Maximum number of keys that are tried for one token.
const TRIES_MAX: usize = 4;

/// The claims of a valid token.
pub type Claims = Map<String, Value>;

/// What is required of requests.
#[derive(Debug)]
pub struct Guard {
    validation: Validation,
    routes: Vec<Route>,
    claim_headers: Vec<(ClaimName, HeaderName)>,
}

/// What a request needs.
#[derive(Debug, Clone, Copy)]
pub enum Demand<'a> {
    /// Nothing.
    Nothing,
    /// A valid token with the claims that the rule requires, if a rule applies.
    Token(RequiredClaims<'a>),
}

/// The claims that a rule requires, each with its accepted values.
type RequiredClaims<'a> = &'a [(ClaimName, Vec<String>)];

impl Guard {
    /// Checks the settings.
    pub fn new(settings: &Settings<'_>) -> Result<Self, SettingError> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = settings.clock_skew_s()?;
        validation.validate_nbf = true;
        validation.set_issuer(&[settings.issuer()?]);
        validation.set_audience(&settings.audiences()?);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let routes = settings.routes()?.into_iter().map(Route::new).collect::<Result<_, _>>()?;
        Ok(Self { validation, routes, claim_headers: settings.claim_headers()? })
    }

    /// What a request with this method and path needs. The first rule that applies decides; without
    /// one, any valid token is enough.
    pub fn demand(&self, method: &Method, path: &str) -> Result<Demand<'_>, Refusal> {
        if self.routes.is_empty() {
            return Ok(Demand::Token(&[]));
        }
        let path = decode_path(path).ok_or(Refusal::Path)?;
        Ok(match self.routes.iter().find(|route| route.applies(method, &path)) {
            Some(route) if route.is_public => Demand::Nothing,
            Some(route) => Demand::Token(&route.claims),
            None => Demand::Token(&[]),
        })
    }

    /// The claims of a valid token. If it is not certain which key has signed it and no key fits, it
    /// is refused with [`Refusal::UnknownKey`].
    pub fn verify(&self, token: &str, keys: &Keys) -> Result<Claims, Refusal> {
        let header = decode_header(token).map_err(|_| Refusal::Invalid)?;
        let validation = Validation { algorithms: vec![header.alg], ..self.validation.clone() };
        let mut refusal = Refusal::UnknownKey;
        for key in keys.fitting(header.alg, header.kid.as_deref()).take(TRIES_MAX) {
            match decode::<Claims>(token, &key.key, &validation) {
                // The library also accepts a list of issuers, but RFC 7519 has one.
                Ok(token) if token.claims.get("iss").is_some_and(Value::is_string) => {
                    return Ok(token.claims);
                }
                Ok(_) => return Err(Refusal::Invalid),
                Err(error) => {
                    let is_named = header.kid.is_some() && key.id.is_some();
                    refusal = match error.kind() {
                        ErrorKind::ExpiredSignature => return Err(Refusal::Expired),
                        ErrorKind::ImmatureSignature => return Err(Refusal::NotYet),
                        // The issuer may have a newer key without an id.
                        ErrorKind::InvalidSignature if !is_named => refusal,
                        _ => Refusal::Invalid,
                    };
                }
            }
        }
        Err(refusal)
    }

    /// The headers with claims for the component behind, if the token has the claims that are
    /// required.
    pub fn authorize(
        &self,
        required: RequiredClaims<'_>,
        claims: &Claims,
    ) -> Result<HeaderMap, Refusal> {
        if !required.iter().all(|(claim, accepted)| claim.has_one(claims, accepted)) {
            return Err(Refusal::Forbidden);
        }
        let mut headers = HeaderMap::new();
        for (claim, name) in &self.claim_headers {
            if let Some(value) = claim.find(claims).filter(|value| !value.is_null()) {
                headers.insert(name, header_value(value).ok_or(Refusal::Claim)?);
            }
        }
        Ok(headers)
    }

    /// The headers of a request that claim to be ours. Some programs treat `_` in a name as `-`.
    pub fn forged(&self, headers: &HeaderMap) -> Vec<HeaderName> {
        let is_ours = |name: &&HeaderName| {
            let plain = name.as_str().replace('_', "-");
            self.claim_headers.iter().any(|(_, own)| own.as_str() == plain)
        };
        headers.keys().filter(is_ours).cloned().collect()
    }
}

/// The token of a request.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let token = value.to_str().ok().and_then(token).ok_or(Refusal::Malformed)?;
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    Ok(token)
}

fn token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(is_token))
        .then_some(token)
}
