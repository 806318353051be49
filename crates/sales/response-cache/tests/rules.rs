//! The rules of RFC 9111 and RFC 5861 for a shared cache, as tables.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use response_cache::{
    Alike, Config, Exchange, Forwarded, Found, Key, Lookup, Memory, Plan, Reuse, Rules, Status,
    Stored, Target, Updated, VARIABLES, plan, replaces_stored,
};

/// Mon, 02 Nov 2026 08:00:00 GMT.
const NOW_MS: u64 = 1_793_606_400_000;
const NOW: &str = "Mon, 02 Nov 2026 08:00:00 GMT";
const AT_NOW: Exchange = Exchange { sent_ms: NOW_MS, received_ms: NOW_MS };

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn request(path: &str, fields: &[(&'static str, &str)]) -> Lookup {
    let target = Target { scheme: "http", authority: "shop.example", path_and_query: path };
    match plan(&Method::GET, target, &headers(fields)) {
        Plan::Look(lookup) => *lookup,
        Plan::Pass(pass) => panic!("{pass:?}"),
    }
}

fn response(asked: &Lookup, rules: &Rules, status: u16, fields: &HeaderMap) -> Option<Stored> {
    Stored::new(asked, rules, StatusCode::from_u16(status).unwrap(), fields, AT_NOW)
}

type Fields<'a> = &'a [(&'static str, &'a str)];

#[test]
fn a_response_is_stored_only_if_it_may_be_given_to_others() {
    let token: Fields<'_> = &[("authorization", "Bearer x")];
    let cookie: Fields<'_> = &[("cookie", "session=1")];
    let cases: &[(Fields<'_>, u16, Fields<'_>, bool)] = &[
        (&[], 200, &[("cache-control", "max-age=60")], true),
        (&[], 200, &[("cache-control", "public, max-age=60")], true),
        (&[], 200, &[("expires", "Mon, 02 Nov 2026 08:01:00 GMT")], true),
        // Only to be validated.
        (&[], 200, &[("etag", "\"a\"")], true),
        (&[], 200, &[("last-modified", NOW)], true),
        (&[], 200, &[("etag", "\"a\""), ("cache-control", "no-cache")], true),
        // It could never be used.
        (&[], 200, &[], false),
        (&[], 200, &[("cache-control", "max-age=0")], false),
        (&[], 200, &[("cache-control", "no-cache, max-age=60")], false),
        (&[], 200, &[("expires", "0")], false),
        (&[], 200, &[("cache-control", "max-age=60"), ("age", "60")], false),
        // The response forbids it.
        (&[], 200, &[("cache-control", "no-store, max-age=60")], false),
        (&[], 200, &[("cache-control", "private, max-age=60")], false),
        (&[], 200, &[("cache-control", "private=\"x\", max-age=60")], false),
        (&[], 200, &[("cache-control", "max-age=60, public"), ("set-cookie", "a=b")], false),
        (&[], 200, &[("cache-control", "max-age=60"), ("vary", "accept, *")], false),
        (&[], 200, &[("cache-control", "max-age=60"), ("vary", "accept-language")], true),
        (
            &[],
            200,
            &[("cache-control", "max-age=60"), ("content-type", "text/event-stream; a=b")],
            false,
        ),
        // Status codes.
        (&[], 404, &[("cache-control", "max-age=60")], true),
        (&[], 301, &[("cache-control", "max-age=60")], true),
        (&[], 302, &[("cache-control", "max-age=60")], true),
        (&[], 302, &[("last-modified", NOW)], false),
        (&[], 206, &[("cache-control", "max-age=60"), ("content-range", "bytes 0-1/2")], false),
        (&[], 200, &[("cache-control", "max-age=60"), ("content-range", "bytes 0-1/2")], false),
        (&[], 304, &[("cache-control", "max-age=60")], false),
        (&[], 401, &[("cache-control", "max-age=60")], false),
        (&[], 403, &[("cache-control", "max-age=60")], false),
        (&[], 429, &[("cache-control", "max-age=60")], false),
        (&[], 500, &[("cache-control", "max-age=60")], false),
        (&[], 599, &[("cache-control", "public, max-age=60")], false),
        // Credentials.
        (token, 200, &[("cache-control", "max-age=60")], false),
        (token, 200, &[("cache-control", "max-age=60, must-revalidate")], false),
        (token, 200, &[("cache-control", "max-age=60"), ("vary", "authorization")], false),
        (token, 200, &[("cache-control", "max-age=60, public")], true),
        (token, 200, &[("cache-control", "s-maxage=60")], true),
        (&[("x-api-key", "x")], 200, &[("cache-control", "max-age=60")], false),
        (&[("x-api-key", "x")], 200, &[("cache-control", "max-age=60, public")], true),
        (&[("x_api_key", "x")], 200, &[("cache-control", "max-age=60")], false),
        (cookie, 200, &[("cache-control", "max-age=60")], false),
        (cookie, 200, &[("cache-control", "max-age=60"), ("vary", "Cookie")], true),
        (cookie, 200, &[("cache-control", "max-age=60, public")], true),
    ];
    for (asked, status, fields, expected) in cases {
        let stored = response(&request("/a", asked), &Rules::default(), *status, &headers(fields));
        assert_eq!(stored.is_some(), *expected, "{asked:?}: {status} {fields:?}");
    }
    let mut head = request("/a", &[]);
    head.is_head = true;
    let fields = headers(&[("cache-control", "max-age=60")]);
    assert!(response(&head, &Rules::default(), 200, &fields).is_none());
}

#[test]
fn a_response_that_is_not_stored_removes_an_earlier_one_only_if_it_is_about_the_target() {
    for (status, fields, expected) in [
        (200, &[("cache-control", "no-store")][..], true),
        (200, &[("cache-control", "private")], true),
        (302, &[], true),
        (404, &[], true),
        (410, &[], true),
        (200, &[("set-cookie", "a=b")], false),
        (304, &[], false),
        (400, &[], false),
        (401, &[], false),
        (406, &[], false),
        (429, &[], false),
        (500, &[], false),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(replaces_stored(status, &headers(fields)), expected, "{status} {fields:?}");
    }
}

#[test]
fn the_age_of_a_response_decides_how_it_is_used() {
    use Forwarded::{Request, Stale};
    use Reuse::{Answer, AnswerAndValidate, Validate};
    let later = "Mon, 02 Nov 2026 08:01:00 GMT";
    let earlier = "Mon, 02 Nov 2026 07:59:30 GMT";
    // The headers of the response, the seconds since then, and those of a later request.
    let cases: &[(Fields<'_>, u64, Fields<'_>, Reuse)] = &[
        (&[("cache-control", "max-age=60")], 0, &[], Answer),
        (&[("cache-control", "max-age=60")], 59, &[], Answer),
        (&[("cache-control", "max-age=60")], 60, &[], Validate(Stale)),
        (&[("cache-control", "max-age=600, s-maxage=60")], 60, &[], Validate(Stale)),
        (&[("cache-control", "max-age=6, s-maxage=60")], 59, &[], Answer),
        (&[("cache-control", "max-age=60"), ("expires", "0")], 59, &[], Answer),
        (&[("expires", later), ("date", NOW)], 59, &[], Answer),
        (&[("expires", later), ("date", NOW)], 60, &[], Validate(Stale)),
        // Without `Date`, the time at which it arrived counts.
        (&[("expires", later)], 59, &[], Answer),
        (&[("expires", later), ("expires", NOW), ("etag", "\"a\"")], 0, &[], Validate(Stale)),
        // It was older than that when it arrived.
        (&[("cache-control", "max-age=60"), ("age", "30")], 29, &[], Answer),
        (&[("cache-control", "max-age=60"), ("age", "30")], 30, &[], Validate(Stale)),
        (&[("cache-control", "max-age=60"), ("date", earlier)], 29, &[], Answer),
        (&[("cache-control", "max-age=60"), ("date", earlier)], 30, &[], Validate(Stale)),
        (
            &[("cache-control", "max-age=60"), ("age", "5"), ("date", earlier)],
            30,
            &[],
            Validate(Stale),
        ),
        (&[("cache-control", "no-cache, max-age=60"), ("etag", "\"a\"")], 0, &[], Validate(Stale)),
        (&[("last-modified", "Sun, 01 Nov 2026 08:00:00 GMT")], 0, &[], Validate(Stale)),
        // What the request demands.
        (
            &[("cache-control", "max-age=60")],
            1,
            &[("cache-control", "no-cache")],
            Validate(Request),
        ),
        (&[("cache-control", "max-age=60")], 1, &[("pragma", "no-cache")], Validate(Request)),
        (
            &[("cache-control", "max-age=60")],
            1,
            &[("cache-control", "max-age=0")],
            Validate(Request),
        ),
        (&[("cache-control", "max-age=60")], 9, &[("cache-control", "max-age=10")], Answer),
        (&[("cache-control", "max-age=60")], 50, &[("cache-control", "min-fresh=10")], Answer),
        (
            &[("cache-control", "max-age=60")],
            51,
            &[("cache-control", "min-fresh=10")],
            Validate(Request),
        ),
        (&[("cache-control", "max-age=60")], 70, &[("cache-control", "max-stale=10")], Answer),
        (
            &[("cache-control", "max-age=60")],
            71,
            &[("cache-control", "max-stale=10")],
            Validate(Stale),
        ),
        (&[("cache-control", "max-age=60")], 999, &[("cache-control", "max-stale")], Answer),
        (
            &[("cache-control", "max-age=60, must-revalidate")],
            61,
            &[("cache-control", "max-stale")],
            Validate(Stale),
        ),
        (
            &[("cache-control", "max-age=60, proxy-revalidate")],
            61,
            &[("cache-control", "max-stale")],
            Validate(Stale),
        ),
        (
            &[("cache-control", "s-maxage=60")],
            61,
            &[("cache-control", "max-stale")],
            Validate(Stale),
        ),
        // Stale responses that the response permits.
        (&[("cache-control", "max-age=60, stale-while-revalidate=30")], 89, &[], AnswerAndValidate),
        (&[("cache-control", "max-age=60, stale-while-revalidate=30")], 90, &[], Validate(Stale)),
        (
            &[("cache-control", "s-maxage=60, stale-while-revalidate=30")],
            89,
            &[],
            AnswerAndValidate,
        ),
        (
            &[("cache-control", "max-age=60, stale-while-revalidate=30, must-revalidate")],
            61,
            &[],
            Validate(Stale),
        ),
        (
            &[("cache-control", "max-age=60, stale-while-revalidate=30")],
            61,
            &[("cache-control", "max-age=60")],
            Validate(Request),
        ),
    ];
    for (fields, seconds, asked, expected) in cases {
        let stored = response(&request("/a", &[]), &Rules::default(), 200, &headers(fields));
        let stored = stored.unwrap_or_else(|| panic!("{fields:?} is not stored"));
        let reuse = request("/a", asked).reuse(&stored, NOW_MS + seconds * 1_000);
        assert_eq!(reuse, *expected, "{fields:?} after {seconds} s: {asked:?}");
        // A stored response is not validated for `HEAD`, whose response cannot take its place.
        let mut head = request("/a", asked);
        head.is_head = true;
        let expected = if *expected == AnswerAndValidate { Answer } else { *expected };
        assert_eq!(head.reuse(&stored, NOW_MS + seconds * 1_000), expected, "{fields:?} {asked:?}");
    }
}

#[test]
fn the_configuration_adds_times_only_where_the_response_has_none() {
    let rules = Rules {
        heuristic_percent: 10,
        stale_while_revalidate_s: 5,
        stale_if_error_s: 50,
        key_headers: Vec::new(),
    };
    let modified = "Mon, 02 Nov 2026 07:50:00 GMT";
    for (fields, fresh_s, stale_s, error_s) in [
        (&[("last-modified", modified)][..], 60, 65, 110),
        (&[("cache-control", "max-age=10")], 10, 15, 60),
        (&[("cache-control", "max-age=10, stale-while-revalidate=0")], 10, 10, 60),
        (&[("cache-control", "max-age=10, stale-if-error=1")], 10, 15, 11),
        (&[("cache-control", "max-age=10, must-revalidate")], 10, 10, 10),
        (&[("cache-control", "s-maxage=10")], 10, 10, 10),
        (&[("cache-control", "s-maxage=10, stale-if-error=7")], 10, 10, 17),
    ] {
        let asked = request("/a", &[]);
        let stored = response(&asked, &rules, 200, &headers(fields)).unwrap();
        let first = |is_used: &dyn Fn(u64) -> bool| {
            (0..200).find(|seconds| !is_used(NOW_MS + seconds * 1_000)).unwrap()
        };
        let fresh = first(&|now| asked.reuse(&stored, now) == Reuse::Answer);
        let stale = first(&|now| !matches!(asked.reuse(&stored, now), Reuse::Validate(_)));
        let error = first(&|now| {
            asked.reuse(&stored, now) == Reuse::Answer || asked.is_answer_after_error(&stored, now)
        });
        assert_eq!((fresh, stale, error), (fresh_s, stale_s, error_s), "{fields:?}");
    }
    // What was never fresh may be for one client.
    for fields in [
        &[][..],
        &[("cache-control", "max-age=0")],
        &[("expires", "0")],
        &[("cache-control", "max-age=0"), ("last-modified", NOW)],
    ] {
        let asked = request("/a", &[]);
        let is_used = response(&asked, &rules, 200, &headers(fields)).is_some_and(|stored| {
            asked.reuse(&stored, NOW_MS) != Reuse::Validate(Forwarded::Stale)
                || asked.is_answer_after_error(&stored, NOW_MS)
        });
        assert!(!is_used, "{fields:?}");
    }
}

#[test]
fn an_answer_has_its_age_and_no_fields_of_another_exchange() {
    let fields = headers(&[
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("content-type", "text/plain"),
        ("content-length", "7"),
        ("age", "3"),
        ("ratelimit-remaining", "5"),
        ("cache-status", "Other; hit"),
        ("x-kept", "1"),
    ]);
    let exchange = Exchange { sent_ms: NOW_MS - 2_000, received_ms: NOW_MS };
    let stored =
        Stored::new(&request("/a", &[]), &Rules::default(), StatusCode::OK, &fields, exchange);
    let stored = stored.unwrap().with_body(Bytes::from_static(b"content"));
    let answer = stored.answer(&request("/a", &[]), NOW_MS + 10_900, Status::default());
    let all = answer.headers();
    let line = |name: &str| {
        all.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join("|")
    };
    assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (200, &b"content"[..]));
    // 3 s, 2 s on the way, 10 s here.
    assert_eq!(
        (line("age"), line("date"), line("content-length")),
        ("15".into(), NOW.into(), "7".into())
    );
    assert_eq!(line("cache-status"), "Other; hit|Doorbuster; hit; ttl=44");
    assert_eq!((line("x-kept"), line("ratelimit-remaining")), ("1".into(), String::new()));
    let unmodified =
        stored.answer(&request("/a", &[("if-none-match", "\"a\"")]), NOW_MS, Status::default());
    assert_eq!((unmodified.status().as_u16(), unmodified.body().len()), (304, 0));
    assert!(unmodified.headers().contains_key("etag"), "{unmodified:?}");
    assert!(!unmodified.headers().contains_key("content-type"), "{unmodified:?}");
    let mut head = request("/a", &[]);
    head.is_head = true;
    let head = stored.answer(&head, NOW_MS, Status::default());
    assert_eq!((head.headers()["content-length"].as_bytes(), head.body().len()), (&b"7"[..], 0));
}

#[test]
fn an_answer_304_renews_the_stored_response() {
    let asked = request("/a", &[]);
    let fields = headers(&[
        ("cache-control", "max-age=60"),
        ("etag", "\"a\""),
        ("date", NOW),
        ("content-type", "text/plain"),
        ("x-a", "1"),
        ("x-a", "2"),
    ]);
    let stored = response(&asked, &Rules::default(), 200, &fields).unwrap();
    let stored = stored.with_body(Bytes::from_static(b"content"));
    assert_eq!(stored.validators()["if-none-match"], "\"a\"");
    let later = NOW_MS + 100_000;
    let exchange = Exchange { sent_ms: later, received_ms: later };
    let update = |fields: &[(&'static str, &str)]| {
        stored.updated(&asked, &Rules::default(), &headers(fields), exchange)
    };
    let Some(Updated::Stored(renewed)) =
        update(&[("etag", "W/\"a\""), ("x-a", "3"), ("content-type", "x/y")])
    else {
        panic!("it is not stored");
    };
    assert_eq!(asked.reuse(&renewed, later + 59_000), Reuse::Answer);
    assert_eq!((renewed.age_ms(later), renewed.body.as_ref()), (0, &b"content"[..]));
    assert_eq!(renewed.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["3"]);
    assert_eq!(renewed.headers["content-type"], "text/plain");
    // It is about another response.
    assert!(update(&[("etag", "\"b\"")]).is_none());
    // It is not stored any more, and nobody else gets the cookie.
    for fields in [("set-cookie", "a=b"), ("cache-control", "private")] {
        let updated = update(&[fields]);
        assert!(
            matches!(&updated, Some(Updated::NotStored(_, all, body))
            if all.contains_key(fields.0) && body == "content"),
            "{updated:?}"
        );
    }
}

fn config(bytes: &str, entries: &str) -> Config {
    let mut values: [String; VARIABLES.len()] = Default::default();
    values[0] = bytes.into();
    values[1] = entries.into();
    Config::new(&values).unwrap()
}

fn stored(asked: &Lookup, fields: Fields<'_>, body: usize) -> Rc<Stored> {
    let mut all = headers(fields);
    all.insert("cache-control", "max-age=60".parse().unwrap());
    let stored = response(asked, &Rules::default(), 200, &all).unwrap();
    Rc::new(stored.with_body(vec![b'x'; body].into()))
}

#[test]
fn a_request_gets_the_response_for_its_headers_only() {
    let config = config("", "");
    let mut memory = Memory::new(&config);
    let vary: Fields<'_> = &[("vary", "accept-language")];
    let language = |language: &str| request("/a", &[("accept-language", language)]);
    let own = |memory: &mut Memory, asked: &Lookup| match memory.find(asked, &config) {
        Found::Response(stored) => Some(stored),
        _ => None,
    };
    for (index, name) in ["de", "en"].iter().enumerate() {
        let asked = language(name);
        assert!(own(&mut memory, &asked).is_none());
        assert!(memory.store(&asked.key, stored(&asked, vary, index), memory.version()));
    }
    assert_eq!(own(&mut memory, &language("de")).unwrap().body.len(), 0);
    assert_eq!(own(&mut memory, &language("en")).unwrap().body.len(), 1);
    assert!(matches!(
        memory.find(&language("es"), &config),
        Found::Nothing { reason: Forwarded::VaryMiss, vary } if vary[0] == "accept-language"
    ));
    let tricked = request("/a", &[("accept-language", "de"), ("x-forwarded-host", "evil")]);
    assert!(own(&mut memory, &tricked).is_none());
    // Neither is a response without this mark for requests with credentials.
    for credentials in [("cookie", "a=b"), ("authorization", "Bearer x")] {
        let asked = request("/a", &[("accept-language", "de"), credentials]);
        let found = memory.find(&asked, &config);
        let is_miss = matches!(found, Found::Nothing { reason: Forwarded::Miss, .. });
        assert!(is_miss, "{credentials:?}: {found:?}");
    }
    // A new one replaces the one for the same headers.
    let asked = language("de");
    assert!(memory.store(&asked.key, stored(&asked, vary, 9), memory.version()));
    assert_eq!(own(&mut memory, &asked).unwrap().body.len(), 9);
    assert_eq!(own(&mut memory, &language("en")).unwrap().body.len(), 1);
    // There are at most eight; the one that was not used for the longest time is removed.
    for number in 0..7 {
        let asked = language(&number.to_string());
        assert!(own(&mut memory, &language("de")).is_some());
        assert!(memory.store(&asked.key, stored(&asked, vary, 0), memory.version()));
    }
    assert!(own(&mut memory, &language("de")).is_some());
    assert!(own(&mut memory, &language("en")).is_none());
}

#[test]
fn the_store_keeps_what_was_used_last_within_its_limits() {
    let config = config("65536", "3");
    let mut memory = Memory::new(&config);
    let asked = |path: &str| request(path, &[]);
    let has = |memory: &mut Memory, path: &str| {
        matches!(memory.find(&asked(path), &config), Found::Response(_))
    };
    let store = |memory: &mut Memory, path: &str, body: usize| {
        let asked = asked(path);
        memory.store(&asked.key, stored(&asked, &[], body), memory.version())
    };
    for path in ["/a", "/b", "/c"] {
        assert!(store(&mut memory, path, 10_000));
    }
    assert!(has(&mut memory, "/a"));
    assert!(store(&mut memory, "/d", 10_000));
    assert_eq!(
        ["/a", "/b", "/c", "/d"].map(|path| has(&mut memory, path)),
        [true, false, true, true]
    );
    // A large one needs the room of several.
    assert!(store(&mut memory, "/e", 50_000));
    assert_eq!(
        ["/a", "/c", "/d", "/e"].map(|path| has(&mut memory, path)),
        [false, false, true, true]
    );
    assert!(!store(&mut memory, "/f", 70_000));
    assert!(has(&mut memory, "/e"));
}

#[test]
fn a_response_to_an_earlier_request_is_not_stored_after_an_invalidation() {
    let config = config("", "");
    let mut memory = Memory::new(&config);
    let (a, b) = (request("/a", &[]), request("/b", &[]));
    let version = memory.version();
    assert!(memory.store(&a.key, stored(&a, &[], 1), version));
    memory.invalidate(&a.key);
    let found = memory.find(&a, &config);
    assert!(matches!(found, Found::Nothing { reason: Forwarded::UriMiss, .. }), "{found:?}");
    assert!(!memory.store(&a.key, stored(&a, &[], 1), version));
    assert!(memory.store(&b.key, stored(&b, &[], 1), version));
    assert!(memory.store(&a.key, stored(&a, &[], 1), memory.version()));
    // Also if there are too many invalidations to remember each.
    memory.invalidate(&b.key);
    for number in 0..1_000 {
        let other = Key::new("http", "shop.example", &format!("/{number}")).unwrap();
        memory.invalidate(&other);
    }
    assert!(!memory.store(&b.key, stored(&b, &[], 1), version));
    assert!(memory.store(&b.key, stored(&b, &[], 1), memory.version()));
}

#[test]
fn requests_do_not_wait_for_responses_that_are_not_stored() {
    let config = config("", "");
    let mut memory = Memory::new(&config);
    let alike = |fields: Fields<'_>| -> Alike {
        let asked = request("/a", fields);
        let variant = asked.variant(&[http::header::ACCEPT_LANGUAGE], &config.rules);
        (asked.key.clone(), variant, asked.has_credentials())
    };
    let with_token = alike(&[("authorization", "x")]);
    memory.note_not_stored(&with_token, NOW_MS);
    assert!(memory.is_not_stored(&with_token, NOW_MS + 1));
    for others in [&[][..], &[("authorization", "x"), ("accept-language", "de")]] {
        assert!(!memory.is_not_stored(&alike(others), NOW_MS + 1), "{others:?}");
    }
    assert!(!memory.is_not_stored(&with_token, NOW_MS + 60_000));
}

#[test]
fn requests_wait_only_for_responses_that_can_answer_them() {
    for (fields, expected) in [
        (&[("cache-control", "max-age=60")][..], true),
        (&[("cache-control", "no-cache, max-age=60"), ("etag", "\"a\"")], false),
        (&[("etag", "\"a\"")], false),
    ] {
        let stored = response(&request("/a", &[]), &Rules::default(), 200, &headers(fields));
        assert_eq!(stored.unwrap().can_be_shared(), expected, "{fields:?}");
    }
    for (line, expected) in [("no-cache", false), ("max-age=0", false), ("max-age=1", true)] {
        assert_eq!(request("/a", &[("cache-control", line)]).accepts_shared(), expected, "{line}");
    }
}
