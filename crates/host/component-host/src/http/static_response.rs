//! The response of an HTTP trigger without a component (`static_response`).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;
use serde_json::Value;
use wasmtime_wasi_http::WasiBody;

/// A response that is the same for every request.
#[derive(Debug)]
pub(super) struct StaticResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    status_code: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

impl StaticResponse {
    /// Reads the value of `static_response`.
    pub fn new(value: &Value) -> Result<Self, String> {
        let settings = Settings::deserialize(value).map_err(|error| error.to_string())?;
        let status = settings.status_code.unwrap_or(200);
        let status = StatusCode::from_u16(status).ok().filter(|s| !s.is_informational());
        let status = status.ok_or("`status_code` must be from 200 to 999")?;
        let mut headers = HeaderMap::new();
        for (name, value) in settings.headers {
            let fault = || format!("`{name}: {value}` is no header field");
            let field = HeaderName::try_from(&name).map_err(|_| fault())?;
            if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION]
                .contains(&field)
            {
                return Err(format!("`{name}` is set by the server"));
            }
            headers.insert(field, HeaderValue::try_from(&value).map_err(|_| fault())?);
        }
        Ok(Self { status, headers, body: settings.body.into() })
    }

    /// The response.
    pub fn response(&self) -> Response<WasiBody> {
        let body = Full::new(self.body.clone()).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn the_parts_have_the_defaults_of_spin() {
        let value = json!({"status_code": 302, "headers": {"Location": "/x"}, "body": "moved"});
        let response = StaticResponse::new(&value).unwrap().response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["location"]),
            (302, &"/x".parse().unwrap())
        );
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "moved");
        let response = StaticResponse::new(&json!({})).unwrap().response();
        assert_eq!((response.status().as_u16(), response.headers().len()), (200, 0));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
    }

    #[test]
    fn a_response_that_cannot_be_sent_is_refused() {
        for (value, expected) in [
            (json!({"status_code": 101}), "status_code"),
            (json!({"status_code": 1000}), "status_code"),
            (json!({"status": 200}), "`status`"),
            (json!({"headers": {"a b": "c"}}), "`a b: c`"),
            (json!({"headers": {"a": "c\n"}}), "no header field"),
            (json!({"headers": {"Content-Length": "1"}}), "`Content-Length`"),
        ] {
            let fault = StaticResponse::new(&value).unwrap_err();
            assert!(fault.contains(expected), "{fault}");
        }
    }
}
