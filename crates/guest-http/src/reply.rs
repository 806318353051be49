//! Answers in one piece or in several.

use bytes::Bytes;
use futures::stream::LocalBoxStream;
use http::Response;

use crate::whole::Answer;

/// A body that comes in pieces, each sent at once. Whoever makes it bounds how long it lasts: the
/// host drops an instance whose work goes on for more than 30 s after its last answer.
pub type Pieces = LocalBoxStream<'static, Bytes>;

/// What a component answers.
pub enum Reply {
    /// A body in one piece.
    Whole(Answer),
    /// A body in pieces, whose length is not announced.
    InPieces(Response<Pieces>),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Whole(answer)
    }
}
