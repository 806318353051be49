//! Requests to the pipeline.

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An HTTP client of one pipeline.
pub struct Client {
    base: String,
    http1: Pool<HttpConnector, Full<Bytes>>,
    http2: Pool<HttpConnector, Full<Bytes>>,
}

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The trailers; empty if there are none.
    pub trailers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

impl Client {
    /// A client for `http://ADDR`.
    pub fn new(base: &str) -> Self {
        Self {
            base: base.into(),
            http1: Pool::builder(TokioExecutor::new()).build_http(),
            http2: Pool::builder(TokioExecutor::new()).http2_only(true).build_http(),
        }
    }

    /// The address of the server, without `http://`.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Sends a `POST` request with JSON.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.send(Method::POST, path, &[("content-type", "application/json")], body).await
    }

    /// Sends any request over HTTP/1.1.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        self.exchange(&self.http1, method, path, headers, body.into()).await
    }

    /// Sends any request over HTTP/2.
    pub async fn send2(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        self.exchange(&self.http2, method, path, headers, body.into()).await
    }

    /// Sends a request over HTTP/2, and returns the head of the response. Its body is not read
    /// while it is kept.
    pub async fn unread2(&self, path: &str) -> Result<Response<Incoming>> {
        let request = Request::get(format!("{}{path}", self.base)).body(Full::default())?;
        Ok(self.http2.request(request).await?)
    }

    /// Sends a `POST` request over HTTP/2, like a gRPC client.
    pub async fn grpc(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        let headers = [("content-type", "application/grpc"), ("te", "trailers")];
        self.exchange(&self.http2, Method::POST, path, &headers, body.into()).await
    }

    /// The same with an idempotency key.
    pub async fn grpc_with_key(
        &self,
        path: &str,
        key: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let headers =
            [("content-type", "application/grpc"), ("te", "trailers"), ("idempotency-key", key)];
        self.exchange(&self.http2, Method::POST, path, &headers, body.into()).await
    }

    /// Sends these bytes on a new connection, which the client then closes if `breaks_off`. Returns
    /// everything that was received.
    pub async fn raw(&self, bytes: &[u8], breaks_off: bool) -> Result<String> {
        let mut stream = TcpStream::connect(self.base.trim_start_matches("http://")).await?;
        stream.write_all(bytes).await?;
        if breaks_off {
            stream.shutdown().await?;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn exchange(
        &self,
        pool: &Pool<HttpConnector, Full<Bytes>>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = pool.request(request.body(Full::new(body))?).await?;
        let (head, body) = response.into_parts();
        let whole = body.collect().await?;
        let trailers = whole.trailers().cloned().unwrap_or_default();
        Ok(Answer { status: head.status, headers: head.headers, trailers, body: whole.to_bytes() })
    }
}
