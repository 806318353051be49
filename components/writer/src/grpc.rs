//! `ProductSaleService/ProcesarVenta`, a unary gRPC call over HTTP/2.

use std::time::Instant;

use guest_http::{Answer, FullBody, Request, problem, read_body, report};
use guest_tasks::within;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use intake::grpc::{self, Status, code};
use intake::hop_times::{self, HopTime, HopTimer};
use intake::request::{Context, wrong_media_type};
use intake::{IntakeError, PROCESSED};
use product_sale::{Message as _, ProductSaleRequest, ProductSaleResponse};
use sale::Sale;

use crate::HOP;
use crate::publish::publish;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Answers any HTTP request to the writer.
pub async fn answer(request: Request) -> Answer {
    if !is_grpc(request.headers()) {
        return problem(&wrong_media_type(&[grpc::CONTENT_TYPE]));
    }
    match process(request).await {
        Ok(times) => success(&times),
        Err(status) => failure(&status),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    grpc::is_content_type(value)
}

/// Writes the sale of a request. Returns the times of this hop and of Kafka.
async fn process(request: Request) -> Result<Vec<HopTime>, Status> {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    if head.uri.path() != grpc::METHOD_PATH {
        let message = format!("there is no method {}", head.uri.path());
        return Err(Status::new(code::UNIMPLEMENTED, message));
    }
    let context = intake::request::context(&head.headers).map_err(Status::invalid)?;
    let timer = HopTimer::start(HOP, &context);
    let field = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    let limit = field(GRPC_TIMEOUT).map(grpc::timeout).transpose();
    let limit = limit.map_err(|violation| Status::invalid(violation.into()))?;
    let work = async {
        let body = read_body(&head, body, grpc::BODY_BYTES_MAX).await.map_err(Status::invalid)?;
        accept(grpc::request_message(field(GRPC_ENCODING), &body)?, context).await
    };
    let done = match limit {
        // The caller no longer waits, so nothing is written.
        Some(limit) if begun.elapsed() >= limit => None,
        Some(limit) => within(limit, work).await,
        None => Some(work.await),
    };
    let later = done.unwrap_or_else(|| {
        let passed = IntakeError::TimedOut("the caller's grpc-timeout has passed".into());
        Err(Status::from(&passed))
    })?;
    Ok(timer.stop(later))
}

async fn accept(message: &[u8], context: Context) -> Result<Vec<HopTime>, Status> {
    let message = ProductSaleRequest::decode(message).map_err(|error| {
        Status::new(
            code::INVALID_ARGUMENT,
            format!("body: not a valid ProductSaleRequest: {error}"),
        )
    })?;
    // Anyone who can reach the writer's port can call it, so the limits are checked here.
    let sale = Sale::try_from(message).map_err(|violation| Status::invalid(violation.into()))?;
    let published = publish(sale, context).await.inspect_err(report);
    published.map_err(|error| Status::from(&error))
}

/// A response with a message, the times in the headers, and the status in the trailers.
fn success(times: &[HopTime]) -> Answer {
    let message = ProductSaleResponse { estado: PROCESSED.into(), exito: true };
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(code::OK))]);
    let data = grpc::frame(&message.encode_to_vec()).into();
    let mut response = Answer::new(FullBody { data, trailers });
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type());
    hop_times::insert(headers, times);
    response
}

/// A response without a message; the status is in the headers.
fn failure(status: &Status) -> Answer {
    let mut response = empty();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type());
    headers.insert(GRPC_STATUS, HeaderValue::from(status.code));
    if status.code == code::UNIMPLEMENTED {
        headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(grpc::IDENTITY));
    }
    // Cannot fail: an encoded message is printable ASCII.
    if let Ok(message) = HeaderValue::from_str(&status.encoded_message()) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

fn empty() -> Answer {
    let mut response = Answer::default();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn content_type() -> HeaderValue {
    HeaderValue::from_static(grpc::CONTENT_TYPE)
}
