//! Responses with a complete body or with a stream.

use bytes::Bytes;
use futures::stream::LocalBoxStream;
use http::Response;

use crate::body::Answer;

/// A body that is a stream of pieces, each sent at once. Its creator must limit its duration: the
/// host drops an instance that continues to work for more than 30 s after its last answer.
pub type BodyStream = LocalBoxStream<'static, Bytes>;

/// The response of a component.
pub enum Reply {
    /// With a complete body.
    Full(Answer),
    /// With a streamed body, whose length is not announced.
    Streamed(Response<BodyStream>),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Full(answer)
    }
}
