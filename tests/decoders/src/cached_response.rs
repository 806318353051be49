//! The header fields of a request and of its response, which the component `cache` may store, divided
//! by a zero byte, and values in Valkey.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_text::from_lines;
use response_cache::shared::{decode, to_store};
use response_cache::{Exchange, Lookup, Plan, Rules, Status, Stored, Target, plan};

const NOW_MS: u64 = 1_793_606_400_000;

/// A response is stored only if it may be given to others, and a stored one is the same after encoding
/// and decoding. An answer is not longer than what is stored.
pub fn check(input: &[u8]) {
    let target = Target { scheme: "http", authority: "a", path_and_query: "/" };
    let look = |headers: &HeaderMap| match plan(&Method::GET, target, headers) {
        Plan::Look(lookup) => Some(*lookup),
        Plan::Pass(_) => None,
    };
    let rules = Rules::default();
    if let Some(lookup) = look(&HeaderMap::new())
        && let Some(stored) = decode(input.to_vec(), &lookup, &rules)
    {
        assert!(stored.body.len() < input.len());
        answers(&lookup, &stored);
    }
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let mut fields = || from_lines(&Bytes::copy_from_slice(parts.next().unwrap_or_default()));
    let (Some(asked), Some(fields)) = (fields(), fields()) else { return };
    let Some(lookup) = look(&asked) else { return };
    let exchange = Exchange { sent_ms: NOW_MS, received_ms: NOW_MS };
    let Some(stored) = Stored::new(&lookup, &rules, StatusCode::OK, &fields, exchange) else {
        return;
    };
    let text: Vec<_> = fields.get_all(header::CACHE_CONTROL).iter().collect();
    let text: Vec<_> = text.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let text = text.join(",").to_ascii_lowercase();
    let has = |name: &str| text.split(',').any(|part| part.trim() == name);
    assert!(!fields.contains_key(header::SET_COOKIE));
    if !text.contains('"') {
        assert!(!has("private") && !has("no-store"), "{text}");
    }
    if asked.contains_key(header::AUTHORIZATION) {
        assert!(text.contains("public") || text.contains("s-maxage"), "{text}");
    }
    let stored = stored.with_body(Bytes::from_static(b"body"));
    let [_, _, value, ..] = to_store(&stored, 0, NOW_MS);
    assert_eq!(decode(value, &lookup, &rules).as_ref(), Some(&stored));
    answers(&lookup, &stored);
}

fn answers(lookup: &Lookup, stored: &Stored) {
    for now_ms in [0, NOW_MS, NOW_MS + 1_000_000_000] {
        lookup.reuse(stored, now_ms);
        lookup.is_answer_after_error(stored, now_ms);
        let answer = stored.answer(lookup, now_ms, Status::default());
        assert!(answer.body().len() <= stored.body.len());
    }
}
