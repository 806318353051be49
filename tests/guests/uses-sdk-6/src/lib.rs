//! A test guest like the components of Spin's template `http-rust`: spin-sdk 6, whose WASI 0.3 is a
//! release candidate. The path below its route says what it uses. `uses-sdk-5` answers in the same way,
//! except for what components have received.

extern crate spin_sdk_6 as spin_sdk;

use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{self, IntoResponse, Request, Response};
use spin_sdk::redis::{Connection, RedisParameter, RedisResult};
use spin_sdk::{http_service, variables};

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let path = request.headers().get("spin-path-info");
    let path = path.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = match path {
        "/variable" => variables::get("greeting").await?,
        "/undefined" => match variables::get("undefined").await {
            Err(variables::Error::Undefined(_)) => "undefined".into(),
            other => format!("{other:?}"),
        },
        "/next" => next().await?,
        "/redis" => redis().await?,
        "/received" => received().await?,
        other => format!("hello from {other}"),
    };
    Ok(Response::builder().status(200).header("content-type", "text/plain").body(body)?)
}

/// The body that the component in the variable `next` answers.
async fn next() -> anyhow::Result<String> {
    let url = format!("http://{}.spin.internal/chained", variables::get("next").await?);
    let response = http::get(url).await?;
    let body = response.into_body().bytes().await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The results of some commands.
async fn redis() -> anyhow::Result<String> {
    let connection = Connection::open(variables::get("redis_address").await?).await?;
    connection.set("greeting", "hello").await?;
    let stored = connection.get("greeting").await?.unwrap_or_default();
    let removed = connection.del(["greeting"]).await?;
    let missing = connection.get("greeting").await?;
    let receivers = connection.publish("greetings", "hello").await;
    let stored = String::from_utf8_lossy(&stored);
    Ok(format!("{stored} {removed} {missing:?} {receivers:?}"))
}

/// The first messages that `receives-sdk-5` and `receives-sdk-6` have received.
async fn received() -> anyhow::Result<String> {
    let connection = Connection::open(variables::get("redis_address").await?).await?;
    let mut messages = Vec::new();
    for list in ["received-5", "received-6"] {
        let arguments = [
            RedisParameter::Binary(list.into()),
            RedisParameter::Int64(0),
            RedisParameter::Int64(0),
        ];
        for result in connection.execute("LRANGE", arguments).await? {
            if let RedisResult::Binary(message) = result {
                messages.push(String::from_utf8_lossy(&message).into_owned());
            }
        }
    }
    Ok(messages.join(" "))
}
