//! Several events in one request, each with its own result.

use bytes::Bytes;
use http::{HeaderMap, Method};
use intake::Problem;
use intake::many::{self, MEDIA_TYPES};
use intake::request::{check_body, check_media_type};
use sale::Violation;

use crate::{Context, Event, Route};

impl Route {
    /// Maximum length of a body with several events, in bytes.
    pub fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max
    }

    /// Checks everything that is known before the body is read.
    pub fn check_batch(&self, method: &Method, headers: &HeaderMap) -> Result<Context, Problem> {
        self.check_method(method)?;
        check_media_type(headers, &MEDIA_TYPES)?;
        check_body(headers, self.batch_bytes_max)?;
        let context = self.context(headers)?;
        context.check_many_key(&self.idempotency_key)?;
        Ok(context)
    }

    /// Returns the events of a request that [`Route::check_batch`] has accepted, in its order. One
    /// that is not valid does not affect the others. `now_s` is the time in seconds since 1970.
    pub fn batch_events(
        &self,
        context: &Context,
        headers: &HeaderMap,
        body: &Bytes,
        now_s: u64,
    ) -> Result<Vec<Result<Event, Violation>>, Problem> {
        self.verify(headers, body, now_s)?;
        let items = many::split(body, many::has_lines(headers))?.into_iter().enumerate();
        let event = |(index, item): (usize, &[u8])| {
            let bytes_max = self.body_bytes_max();
            if item.len() > bytes_max {
                let reason = format!("must have at most {bytes_max} bytes");
                return Err(Violation::new("body", reason));
            }
            // Does not panic: an item is a part of the body.
            let content = self.json(body.slice_ref(item))?;
            self.event(headers, context.for_item(index), content)
        };
        Ok(items.map(event).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Config, Found, Routes};

    #[test]
    fn each_event_has_the_limit_of_a_body() {
        let config = r#"{"routes":[{"path":"/a","topic":"a","body_bytes_max":10,
            "batch":{"path":"/many"}}]}"#;
        let config = Config::parse(config).unwrap();
        let routes = Routes::compile(config, &BTreeMap::new()).unwrap();
        let Some(Found::Batch(batch)) = routes.find("/many") else {
            unreachable!("the path of the batch")
        };
        for (media_type, body) in [
            ("application/json", "[[1,2,3456],[1,2,34567],  {}   ]"),
            ("application/x-ndjson", "[1,2,3456]\n[1,2,34567]\n{}"),
        ] {
            let header = (http::header::CONTENT_TYPE, media_type.parse().unwrap());
            let headers = HeaderMap::from_iter([header]);
            let context = batch.check_batch(&Method::POST, &headers).unwrap();
            let events = batch.batch_events(&context, &headers, &body.into(), 0).unwrap();
            let results = events.into_iter().map(|event| event.map(|event| event.value));
            let too_long = Violation::new("body", "must have at most 10 bytes");
            let expected = [Ok("[1,2,3456]".into()), Err(too_long), Ok("{}".into())];
            assert_eq!(results.collect::<Vec<_>>(), expected);
        }
    }
}
