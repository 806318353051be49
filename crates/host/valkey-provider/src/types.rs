//! The types of `doorbuster:valkey/client` in the host.

use valkey_codec as codec;
use wasmtime::component::{ComponentType, Lower};

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(crate) enum Scalar {
    #[component(name = "nil")]
    Nil,
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "double")]
    Double(f64),
    #[component(name = "text")]
    Text(Vec<u8>),
    #[component(name = "error")]
    Error(String),
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(crate) enum Reply {
    #[component(name = "one")]
    One(Scalar),
    #[component(name = "many")]
    Many(Vec<Scalar>),
    #[component(name = "pairs")]
    Pairs(Vec<(Scalar, Scalar)>),
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(crate) enum ClientError {
    #[component(name = "config")]
    Config(String),
    #[component(name = "connect")]
    Connect(String),
    #[component(name = "auth")]
    Auth(String),
    #[component(name = "interrupted")]
    Interrupted(String),
    #[component(name = "protocol")]
    Protocol(String),
}

impl From<codec::Scalar> for Scalar {
    fn from(scalar: codec::Scalar) -> Self {
        match scalar {
            codec::Scalar::Nil => Self::Nil,
            codec::Scalar::Integer(number) => Self::Integer(number),
            codec::Scalar::Double(number) => Self::Double(number),
            codec::Scalar::Text(text) => Self::Text(text),
            codec::Scalar::Error(text) => Self::Error(text),
        }
    }
}

impl From<codec::Reply> for Reply {
    fn from(reply: codec::Reply) -> Self {
        match reply {
            codec::Reply::One(scalar) => Self::One(scalar.into()),
            codec::Reply::Many(scalars) => {
                Self::Many(scalars.into_iter().map(Scalar::from).collect())
            }
            codec::Reply::Pairs(pairs) => {
                let pair =
                    |(key, value): (codec::Scalar, codec::Scalar)| (key.into(), value.into());
                Self::Pairs(pairs.into_iter().map(pair).collect())
            }
        }
    }
}

impl From<codec::ClientError> for ClientError {
    fn from(error: codec::ClientError) -> Self {
        match error {
            codec::ClientError::Config(text) => Self::Config(text),
            codec::ClientError::Connect(text) => Self::Connect(text),
            codec::ClientError::Auth(text) => Self::Auth(text),
            codec::ClientError::Interrupted(text) => Self::Interrupted(text),
            codec::ClientError::Protocol(text) => Self::Protocol(text),
        }
    }
}
