//! Converts replies to the types of the interface.

use valkey_codec as codec;

use crate::bindings::exports::doorbuster::valkey::client::{Reply, Scalar};

pub fn reply(reply: codec::Reply) -> Reply {
    match reply {
        codec::Reply::One(value) => Reply::One(scalar(value)),
        codec::Reply::Many(values) => Reply::Many(values.into_iter().map(scalar).collect()),
        codec::Reply::Pairs(pairs) => {
            Reply::Pairs(pairs.into_iter().map(|(k, v)| (scalar(k), scalar(v))).collect())
        }
    }
}

fn scalar(value: codec::Scalar) -> Scalar {
    match value {
        codec::Scalar::Nil => Scalar::Nil,
        codec::Scalar::Integer(number) => Scalar::Integer(number),
        codec::Scalar::Double(number) => Scalar::Double(number),
        codec::Scalar::Text(text) => Scalar::Text(text),
        codec::Scalar::Error(text) => Scalar::Error(text),
    }
}
