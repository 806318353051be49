//! One HTTP component, which the server or another component calls.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::handler::ExpirationError;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::body::{BodyWatch, expects_continue, gather, is_interrupted_elsewhere, small_length};
use super::exchange::without_content;
use super::instances::{Complete, InstanceFailed, InstanceRequest, NoInstance, Pool, new_pool};
use super::metrics::ServiceMetrics;
use super::permits::Permits;
use super::problem::Problem;
use super::streamed::StreamedBody;
use crate::guest::Guest;
use crate::whole::WholeBody;
use crate::{Error, Limits};

/// An HTTP component with its limits.
pub struct HttpService {
    component: Arc<str>,
    pool: RwLock<Arc<Pool>>,
    permits: Permits,
    metrics: Arc<ServiceMetrics>,
    limits: Arc<Limits>,
    /// Number of the HTTP components of the process, which share its instances.
    components: usize,
}

impl HttpService {
    /// Creates the service of one component of a process with this number of components. Fails if
    /// the component exports no HTTP handler.
    pub fn new(guest: &Guest, limits: &Arc<Limits>, components: usize) -> Result<Self, Error> {
        let permits = Permits::new(limits.requests_at_once_max);
        let metrics = Arc::new(ServiceMetrics::new(permits.clone()));
        Ok(Self {
            component: guest.id.clone(),
            pool: RwLock::new(new_pool(guest, limits, components, &metrics.pool)?),
            components,
            permits,
            metrics,
            limits: limits.clone(),
        })
    }

    /// Creates a pool of instances of another build of the component.
    pub(super) fn prepare(&self, guest: &Guest) -> Result<Arc<Pool>, Error> {
        new_pool(guest, &self.limits, self.components, &self.metrics.pool)
    }

    /// Passes requests to this pool from now on. Requests in progress finish in the old one.
    pub(super) fn replace(&self, pool: Arc<Pool>) {
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = pool;
    }

    /// The component's id, and what is counted of its requests.
    pub(super) fn metrics(&self) -> (Arc<str>, Arc<ServiceMetrics>) {
        (self.component.clone(), self.metrics.clone())
    }

    fn pool(&self) -> Arc<Pool> {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of instances that have something to do, with those of earlier builds.
    pub(crate) fn working(&self) -> i64 {
        self.metrics.pool.working.get()
    }

    /// Notes that the server has ended. Instances that are still running may end at any time.
    pub(crate) fn close(&self) {
        self.pool().close();
    }

    /// Handles a request. A failure results in an error response.
    pub async fn call<B>(&self, request: Request<B>) -> Response<WasiBody>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<HttpError>,
    {
        let method = request.method().clone();
        let arrival = self.metrics.arrived();
        let response = self.answer(request).await.unwrap_or_else(|problem| {
            self.metrics.refusals.count(problem);
            problem.response()
        });
        arrival.answered(response.status());
        without_content(&method, response)
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Response<WasiBody>, Problem>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<HttpError>,
    {
        let permit = self.permits.take().ok_or(Problem::Busy)?;
        let bodiless = request.method() == Method::HEAD;
        let watch = request.extensions().get().cloned().unwrap_or_default();
        let request = self.gather_request(request, &watch).await?;
        // This limit is needed in addition to the one of the instance, which is not checked while
        // the guest computes without yielding.
        let pool = self.pool();
        let handled = pool.handle(request);
        let handled = tokio::time::timeout(self.limits.request_timeout, handled).await;
        // If the body was not received, the client caused the failure, and the guest's
        // answer is dropped.
        if let Some(problem) = watch.problem() {
            return Err(problem);
        }
        let response =
            handled.map_err(|_| Problem::TimedOut)?.map_err(|error| self.problem(&error))?;
        if response.status().is_informational() {
            let (component, status) = (&*self.component, response.status().as_u16());
            tracing::error!(component, status, "the component answered with an informational code");
            return Err(Problem::GuestFailed);
        }
        watch.answered();
        if bodiless || response.status() == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        self.gather_response(response, permit).await
    }

    async fn gather_request<B>(
        &self,
        request: Request<B>,
        watch: &BodyWatch,
    ) -> Result<InstanceRequest, Problem>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<HttpError>,
    {
        let (parts, body) = request.into_parts();
        // The body is not gathered if the client waits for `100 Continue`, which is sent when the
        // guest reads.
        let length = small_length(&parts.headers, self.limits.gathered_body_bytes_max)
            .filter(|_| !expects_continue(&parts.headers));
        let body = match length {
            Some(length) => tokio::time::timeout(self.limits.request_timeout, gather(body, length))
                .await
                .map_err(|_| Problem::LateBody)?
                .map_err(|_| watch.problem().unwrap_or(Problem::BadBody))?,
            None if body.is_end_stream()
                && !parts.headers.contains_key(header::CONTENT_LENGTH)
                && !expects_continue(&parts.headers) =>
            {
                WholeBody::default()
            }
            None => {
                let body = body.map_err(Into::into).boxed_unsync();
                return Ok(InstanceRequest::Streamed(Request::from_parts(parts, body)));
            }
        };
        Ok(InstanceRequest::Whole(Request::from_parts(parts, body)))
    }

    /// Reads the body of a short response. A longer one keeps the permit until it is sent: it counts
    /// as a request until then.
    async fn gather_response(
        &self,
        response: Response<WasiBody>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Response<WasiBody>, Problem> {
        let max = self.limits.gathered_body_bytes_max;
        if response.extensions().get::<Complete>().is_some()
            && response.body().size_hint().upper().is_some_and(|length| length <= max)
        {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = match small_length(&parts.headers, max) {
            Some(length) => tokio::time::timeout(self.limits.request_timeout, gather(body, length))
                .await
                .map_err(|_| Problem::TimedOut)?
                .map_err(|error| {
                    let (component, is_elsewhere) =
                        (&*self.component, error.as_ref().is_some_and(is_interrupted_elsewhere));
                    if is_elsewhere {
                        let error = error.map(tracing::field::display);
                        tracing::warn!(
                            component,
                            error,
                            "the answer of another server ended early"
                        );
                        return Problem::Interrupted;
                    }
                    tracing::error!(
                        component,
                        length,
                        "the body of an answer does not have the announced length"
                    );
                    Problem::GuestFailed
                })?
                .into_body(),
            None => {
                let interrupted = &self.metrics.interrupted;
                let limit = self.limits.request_timeout;
                StreamedBody::new(body, permit, &self.component, limit, interrupted).boxed_unsync()
            }
        };
        Ok(Response::from_parts(parts, body))
    }

    fn problem(&self, error: &wasmtime::Error) -> Problem {
        let problem = problem(error);
        // A failure of the instance is logged where the instance is dropped.
        if matches!(problem, Problem::GuestFailed) && !error.is::<InstanceFailed>() {
            let component = &*self.component;
            let error = format!("{error:#}");
            tracing::error!(component, error, "the component answered a request with an error");
        }
        problem
    }
}

/// The answer to a request whose instance has not answered it.
fn problem(error: &wasmtime::Error) -> Problem {
    if error.is::<ExpirationError>() {
        Problem::TimedOut
    } else if error.is::<NoInstance>() {
        Problem::Busy
    } else {
        Problem::GuestFailed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_that_no_instance_has_taken_is_to_be_repeated() {
        for (error, status) in [
            (wasmtime::Error::new(NoInstance("the limit is reached".into())), 503),
            (wasmtime::Error::new(ExpirationError), 504),
            (wasmtime::Error::new(InstanceFailed), 500),
            (wasmtime::Error::msg("an error code of WASI"), 500),
        ] {
            let response = problem(&error).response();
            assert_eq!(response.status(), status, "{error}");
            assert_eq!(response.headers().contains_key("retry-after"), status == 503, "{error}");
        }
    }
}
