//! gRPC: content type, timeout, compression, status and message of a call, and its body.
//!
//! Input: a line for each of `content-type`, `grpc-timeout`, `grpc-encoding`, `grpc-status` and
//! `grpc-message`, then the body.

use std::time::Duration;

use intake::IntakeError;
use intake::grpc::{self, Status, code};
use product_sale::{Message, ProductSaleRequest, ProductSaleResponse, is_success};
use sale::Sale;

use crate::{lines, sales};

const TIMEOUT_MAX: Duration = Duration::from_secs(99_999_999 * 3_600);

/// Checks an input.
pub fn check(mut bytes: &[u8]) {
    let content_type = lines::line(&mut bytes);
    if grpc::is_content_type(content_type) {
        let lower = content_type.trim_ascii().to_ascii_lowercase();
        assert!(lower.starts_with(b"application/grpc") && !lower.starts_with(b"application/grpc-"));
    }
    if let Ok(time) = grpc::timeout(lines::line(&mut bytes)) {
        assert!(time <= TIMEOUT_MAX);
    }
    let encoding = lines::line(&mut bytes);
    let (status, message) = (lines::line(&mut bytes), lines::line(&mut bytes));
    check_status(&String::from_utf8_lossy(status), &String::from_utf8_lossy(message));
    let body = bytes;
    assert_eq!(grpc::unframe(&grpc::frame(body)), Ok(body));
    for encoding in [None, Some(encoding)] {
        match grpc::request_message(encoding, body) {
            Ok(message) => {
                assert_eq!(grpc::frame(message), body);
                check_message(message);
            }
            Err(status) => assert_ne!(status.code, code::OK),
        }
    }
    // Checked without a frame, too, because a fuzzer rarely generates one.
    check_message(body);
}

fn check_status(code: &str, message: &str) {
    let Some(status) = Status::decode(code, message) else { return };
    let encoded = status.encoded_message();
    assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let decoded = Status::decode(&status.code.to_string(), &encoded);
    assert_eq!(decoded.as_ref(), Some(&status));
    let error = IntakeError::from(status.clone());
    let again = IntakeError::from(Status::from(&error));
    assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&error), "{status:?}");
    assert_eq!(again.for_client(), error.for_client(), "{status:?}");
}

fn check_message(message: &[u8]) {
    if let Ok(request) = ProductSaleRequest::decode(message) {
        // Compared as bytes, because a price may be NaN.
        let bytes = request.encode_to_vec();
        assert!(bytes.len() <= message.len().max(1) * 2);
        assert_eq!(ProductSaleRequest::decode(&*bytes).unwrap().encode_to_vec(), bytes);
        if let Ok(sale) = Sale::try_from(request) {
            sales::check(&sale);
            let bytes = ProductSaleRequest::from(sale.clone()).encode_to_vec();
            let decoded = ProductSaleRequest::decode(&*bytes).unwrap();
            assert_eq!(Sale::try_from(decoded), Ok(sale));
        }
    }
    if let Ok(response) = ProductSaleResponse::decode(message) {
        let again = ProductSaleResponse::decode(&*response.encode_to_vec()).unwrap();
        assert_eq!(is_success(&again), is_success(&response));
        assert_eq!(again, response);
    }
}
