//! HTTP middleware: passes a request on only if it has a valid access token.

mod keys;
mod settings;

use access_token::{Claims, Demand, Refusal, bearer};
use guest_http::{Answer, Changes, Decision, Head, problem};
use http::header;

use settings::{Config, config};

guest_http::middleware!(decide);

async fn decide(head: Head) -> Decision {
    match check(&head).await {
        Ok(changes) => Decision::Pass(changes),
        Err(refusal) => Decision::Answer(refuse(refusal)),
    }
}

async fn check(head: &Head) -> Result<Changes, Refusal> {
    let config = config().await?;
    let guard = &config.guard;
    let remove = guard.forged(head.headers());
    let insert = match guard.demand(head.method(), head.uri().path())? {
        Demand::Nothing => http::HeaderMap::new(),
        Demand::Token(required) => {
            let claims = verify(config, bearer(head.headers())?).await?;
            guard.authorize(required, &claims)?
        }
    };
    Ok(Changes { remove, insert, ..Changes::default() })
}

/// The claims of a token. If no key fits it, the issuer may have new ones.
async fn verify(config: &Config, token: &str) -> Result<Claims, Refusal> {
    let keys = keys::current(&config.keys).await?;
    match config.guard.verify(token, &keys) {
        Err(Refusal::UnknownKey) => match keys::newer(&config.keys).await {
            Some(keys) => config.guard.verify(token, &keys),
            None => Err(Refusal::UnknownKey),
        },
        result => result,
    }
}

fn refuse(refusal: Refusal) -> Answer {
    let mut answer = problem(&refusal.problem());
    if let Some(challenge) = refusal.challenge() {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}
