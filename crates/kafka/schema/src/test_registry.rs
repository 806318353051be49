//! A server with the answers that a test determines: refusals and failures that a real registry gives
//! only rarely.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::SchemaConfig;

/// A request: its path with the query, and the header `authorization`.
pub type Asked = (String, Option<String>);

/// A running server.
pub struct TestRegistry {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<(StatusCode, String)>>,
    /// Answers to requests for single paths.
    found: Arc<Mutex<HashMap<String, String>>>,
    _server: AbortOnDropHandle<()>,
}

impl TestRegistry {
    /// Starts a server that answers every request in this way. A redirection leads to the server
    /// itself.
    pub async fn start(status: StatusCode, body: &str) -> Self {
        let (asked, answer) =
            (Arc::<Mutex<Vec<Asked>>>::default(), Arc::new(Mutex::new((status, body.to_owned()))));
        let found = Arc::<Mutex<HashMap<String, String>>>::default();
        let (asking, answering, finding) = (asked.clone(), answer.clone(), found.clone());
        let router = Router::new().fallback(move |request: Request| async move {
            let authorization = request.headers().get(header::AUTHORIZATION);
            let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
            let path = request.uri().path().to_owned();
            let found = finding.lock().unwrap().get(&path).cloned();
            asking.lock().unwrap().push((request.uri().to_string(), authorization));
            // Other requests arrive in the meantime.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let answer = answering.lock().unwrap().clone();
            let (status, body) = found.map_or(answer, |body| (StatusCode::OK, body));
            let location = [(header::LOCATION, "/elsewhere")];
            let answer: Response = (status, location, body).into_response();
            answer
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { address, asked, answer, found, _server: AbortOnDropHandle::new(server) }
    }

    /// Answers in another way from now on.
    pub fn answer(&self, status: StatusCode, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    /// Answers requests for this path, which follows that of the API, with this body.
    pub fn add(&self, path: &str, body: &str) {
        self.found.lock().unwrap().insert(format!("/api/{path}"), body.to_owned());
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Settings with this registry.
    pub fn config(&self) -> SchemaConfig {
        SchemaConfig { registry: format!("http://{}/api/", self.address), ..Default::default() }
    }
}
