//! Passes the body of a request, which contains encoded commands, to Valkey. The path is the number
//! of the replies, and the limit of the call in milliseconds. Returns each reply on a line, or the error.

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use spin_sdk::http::Request;
use spin_sdk::http_service;
use valkey_codec::{ClientError, Reply, Scalar};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "tests:calls-valkey/component",
        path: ["../../../wit/doorbuster-valkey", "world.wit"],
        with: {
            "doorbuster:valkey/client@0.2.0/client-error": valkey_codec::ClientError,
            "doorbuster:valkey/client@0.2.0/scalar": valkey_codec::Scalar,
            "doorbuster:valkey/client@0.2.0/reply": valkey_codec::Reply,
        },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

#[http_service]
async fn handle(request: Request) -> Response<Full<Bytes>> {
    let mut numbers = request.uri().path().split('/').skip(1).map(|text| text.parse().unwrap_or(0));
    let (replies, limit_ms) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let commands = match request.into_body().collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(error) => return Response::new(Full::from(format!("no body: {error:?}"))),
    };
    let text =
        match bindings::doorbuster::valkey::client::pipeline(commands, replies, limit_ms).await {
            Ok(replies) => replies.iter().map(reply).collect::<Vec<_>>().join("\n"),
            Err(ClientError::Config(text)) => format!("config: {text}"),
            Err(ClientError::Connect(text)) => format!("connect: {text}"),
            Err(ClientError::Auth(text)) => format!("auth: {text}"),
            Err(ClientError::Interrupted(text)) => format!("interrupted: {text}"),
            Err(ClientError::Protocol(text)) => format!("protocol: {text}"),
        };
    Response::new(Full::from(text))
}

fn reply(reply: &Reply) -> String {
    match reply {
        Reply::One(value) => scalar(value),
        Reply::Many(values) => {
            format!("[{}]", values.iter().map(scalar).collect::<Vec<_>>().join(", "))
        }
        Reply::Pairs(pairs) => {
            let pair = |(key, value): &(_, _)| format!("{}: {}", scalar(key), scalar(value));
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

fn scalar(value: &Scalar) -> String {
    match value {
        Scalar::Nil => "nil".into(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::Double(number) => format!("{number:?}"),
        Scalar::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        Scalar::Error(text) => format!("error {text}"),
    }
}
