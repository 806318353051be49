//! Encodes requests and decodes responses.
//!
//! Of each request one or two versions are used: the newest ones without tagged fields that brokers
//! since 2.4, or since 0.11, support. Newer versions add nothing that a producer needs.

use bytes::{Buf as _, BufMut as _, Bytes};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, InitProducerIdRequest, InitProducerIdResponse,
    MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse, RequestHeader,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use crate::shape::{self, Field, fits};

/// Maximum length of a response, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// Version of the request headers without tagged fields.
const HEADER_VERSION: i16 = 1;

/// A version of a request, and the shape of its response.
pub type RequestVersion = (i16, &'static [Field]);

/// A request that this crate sends.
pub trait Request: Encodable {
    /// Kafka's number of the request.
    const KEY: ApiKey;
    /// The type of the response.
    type Response: Decodable;
    /// The versions that are used, in the order of preference.
    const VERSIONS: &'static [RequestVersion];
}

impl Request for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    type Response = ApiVersionsResponse;
    const VERSIONS: &'static [RequestVersion] = &[(0, shape::API_VERSIONS_0)];
}

impl Request for SaslHandshakeRequest {
    const KEY: ApiKey = ApiKey::SaslHandshake;
    type Response = SaslHandshakeResponse;
    const VERSIONS: &'static [RequestVersion] = &[(1, shape::SASL_HANDSHAKE_1)];
}

impl Request for SaslAuthenticateRequest {
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    type Response = SaslAuthenticateResponse;
    const VERSIONS: &'static [RequestVersion] =
        &[(1, shape::SASL_AUTHENTICATE_1), (0, shape::SASL_AUTHENTICATE_0)];
}

impl Request for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    type Response = InitProducerIdResponse;
    const VERSIONS: &'static [RequestVersion] = &[(0, shape::INIT_PRODUCER_ID_0)];
}

impl Request for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    type Response = MetadataResponse;
    const VERSIONS: &'static [RequestVersion] = &[(4, shape::METADATA_4)];
}

impl Request for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    type Response = ProduceResponse;
    const VERSIONS: &'static [RequestVersion] = &[(8, shape::PRODUCE_8), (3, shape::PRODUCE_3)];
}

/// Encodes a request as a frame.
pub fn encode<R: Request>(
    request: &R,
    version: i16,
    correlation: i32,
    client: &StrBytes,
) -> Result<Vec<u8>, String> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(client.clone()));
    let failed = |error| format!("a request cannot be encoded: {error}");
    let length = header.compute_size(HEADER_VERSION).map_err(failed)?
        + request.compute_size(version).map_err(failed)?;
    let mut frame = Vec::with_capacity(4 + length);
    frame.put_i32(i32::try_from(length).map_err(|_| "a request is too long".to_owned())?);
    header.encode(&mut frame, HEADER_VERSION).map_err(failed)?;
    request.encode(&mut frame, version).map_err(failed)?;
    Ok(frame)
}

/// The length of the first frame including its length prefix; None if the prefix is not complete.
pub fn frame_length(mut bytes: &[u8]) -> Result<Option<usize>, String> {
    let Ok(length) = bytes.try_get_i32() else { return Ok(None) };
    match usize::try_from(length) {
        Ok(length) if length <= RESPONSE_BYTES_MAX => Ok(Some(4 + length)),
        _ => {
            Err(format!("a response of {length} bytes; at most {RESPONSE_BYTES_MAX} are accepted"))
        }
    }
}

/// Decodes the response in a complete frame.
pub fn decode<R: Request>(
    frame: &[u8],
    version: RequestVersion,
    correlation: i32,
) -> Result<R::Response, String> {
    let (version, shape) = version;
    let mut bytes = Bytes::copy_from_slice(frame);
    let mismatch = || "the broker's response does not match the request".to_owned();
    let is_response = |bytes: &mut Bytes| {
        bytes.try_get_i32().is_ok() && bytes.try_get_i32().is_ok_and(|number| number == correlation)
    };
    if !is_response(&mut bytes) || !fits(shape, &mut &*bytes) {
        return Err(mismatch());
    }
    R::Response::decode(&mut bytes, version).map_err(|_| mismatch())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Arbitrary bytes are decoded or reported as an error, without a panic.
        #[test]
        fn hostile_bytes_are_refused(
            mut frame in proptest::collection::vec(any::<u8>(), 0..300),
            few in 0_u8..3,
        ) {
            // Small numbers are valid lengths more often, so decoding gets farther.
            frame.iter_mut().step_by(2).for_each(|byte| *byte %= few + 1);
            frame.splice(0..frame.len().min(8), [0, 0, 0, 0, 0, 0, 0, 9]);
            for version in ProduceRequest::VERSIONS {
                let _ = decode::<ProduceRequest>(&frame, *version, 9);
            }
            for version in SaslAuthenticateRequest::VERSIONS {
                let _ = decode::<SaslAuthenticateRequest>(&frame, *version, 9);
            }
            let _ = decode::<MetadataRequest>(&frame, MetadataRequest::VERSIONS[0], 9);
            let _ = decode::<ApiVersionsRequest>(&frame, ApiVersionsRequest::VERSIONS[0], 9);
            let version = SaslHandshakeRequest::VERSIONS[0];
            let _ = decode::<SaslHandshakeRequest>(&frame, version, 9);
            let version = InitProducerIdRequest::VERSIONS[0];
            let _ = decode::<InitProducerIdRequest>(&frame, version, 9);
        }
    }

    #[test]
    fn the_decoder_reads_every_shape() {
        fn whole<T: Decodable>(version: i16, shape: &[Field], bytes: &[u8]) {
            let mut rest = bytes;
            assert!(fits(shape, &mut rest) && rest.is_empty(), "{} bytes left", rest.len());
            let mut bytes = Bytes::copy_from_slice(bytes);
            T::decode(&mut bytes, version).unwrap();
            assert!(bytes.is_empty());
        }
        let one = [0, 0, 0, 1];
        let text = [0, 1, b'x'];
        let versions = [&[0; 2][..], &one, &[0; 6]].concat();
        whole::<ApiVersionsResponse>(0, shape::API_VERSIONS_0, &versions);
        let handshake = [&[0; 2][..], &one, &text].concat();
        whole::<SaslHandshakeResponse>(1, shape::SASL_HANDSHAKE_1, &handshake);
        let authenticate = [&[0; 2][..], &text, &one, b"x"].concat();
        whole::<SaslAuthenticateResponse>(0, shape::SASL_AUTHENTICATE_0, &authenticate);
        let authenticate = [&authenticate[..], &[0; 8]].concat();
        whole::<SaslAuthenticateResponse>(1, shape::SASL_AUTHENTICATE_1, &authenticate);
        whole::<InitProducerIdResponse>(0, shape::INIT_PRODUCER_ID_0, &[0; 16]);
        let broker = [&[0; 4][..], &text, &[0; 4], &text].concat();
        let partition = [&[0; 10][..], &one, &[0; 4], &one, &[0; 4]].concat();
        let topic = [&[0; 2][..], &text, &[0], &one, &partition].concat();
        let metadata = [&[0; 4][..], &one, &broker, &text, &[0; 4], &one, &topic].concat();
        whole::<MetadataResponse>(4, shape::METADATA_4, &metadata);
        let produce = [&one[..], &text, &one, &[0; 22], &[0; 4]].concat();
        whole::<ProduceResponse>(3, shape::PRODUCE_3, &produce);
        let error = [&one[..], &[0; 4], &text, &text].concat();
        let produce = [&one[..], &text, &one, &[0; 30], &error, &[0; 4]].concat();
        whole::<ProduceResponse>(8, shape::PRODUCE_8, &produce);
    }
}
