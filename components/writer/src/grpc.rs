//! `ProductSaleService/ProcesarVenta`, a unary gRPC call over HTTP/2.

use guest_http::{Answer, Request, Whole, read_body};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use intake::grpc::{self, Status, code};
use intake::{IntakeError, PROCESSED};
use product_sale::{Message as _, ProductSaleRequest, ProductSaleResponse};
use sale::Sale;

use crate::log;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Answers any request to the writer.
pub async fn answer(request: Request) -> Answer {
    if !is_grpc(request.headers()) {
        let mut response = empty();
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    match process(request).await {
        Ok(message) => success(&message),
        Err(status) => failure(&status),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    grpc::is_content_type(value)
}

async fn process(request: Request) -> Result<ProductSaleResponse, Status> {
    let (head, body) = request.into_parts();
    if head.uri.path() != grpc::METHOD_PATH {
        let message = format!("there is no method {}", head.uri.path());
        return Err(Status::new(code::UNIMPLEMENTED, message));
    }
    let context = intake::request::context(&head.headers).map_err(Status::invalid)?;
    let body = read_body(&head, body, grpc::MESSAGE_BYTES_MAX).await.map_err(Status::invalid)?;
    let message = ProductSaleRequest::decode(grpc::unframe(&body)?).map_err(|e| {
        Status::new(code::INVALID_ARGUMENT, format!("body: no ProductSaleRequest: {e}"))
    })?;
    log::append(Sale::from(message), context).await.map_err(|e: IntakeError| Status::from(&e))?;
    Ok(ProductSaleResponse { estado: PROCESSED.into(), exito: true })
}

/// A message, then the status as a trailer.
fn success(message: &ProductSaleResponse) -> Answer {
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(code::OK))]);
    let data = grpc::frame(&message.encode_to_vec()).into();
    let mut response = Answer::new(Whole { data, trailers });
    response.headers_mut().insert(header::CONTENT_TYPE, content_type());
    response
}

/// No message: the status is among the headers.
fn failure(status: &Status) -> Answer {
    let mut response = empty();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type());
    headers.insert(GRPC_STATUS, HeaderValue::from(status.code));
    // An encoded message is printable ASCII, which every header takes.
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
