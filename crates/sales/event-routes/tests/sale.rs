//! The sale as a configuration: the requests of `examples/sale-by-configuration` have the same
//! results as those of the crate `sale`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use event_routes::{Config, Event, Found, Route, Routes};
use http::{HeaderMap, Method};
use intake::Problem;
use proptest::prelude::*;
use sale::{Sale, Violation};

const MANIFEST: &str = include_str!("../../../../examples/sale-by-configuration/spin.toml");

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let json = MANIFEST.split("'''").nth(1).unwrap().replace("{{ kafka_topic }}", "sales");
    Routes::compile(Config::parse(&json).unwrap(), &BTreeMap::new()).unwrap()
});

const SALE: &str = r#"{"categoria":1,"producto_id":"tv","precio":19.99,"cantidad_vendida":2}"#;

fn route() -> &'static Route {
    ROUTES.find("/purchase").unwrap().route()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let json = [("content-type", "application/json")];
    let all = json.iter().chain(pairs);
    all.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn event(headers: &HeaderMap, body: &[u8]) -> Result<Event, Problem> {
    let context = route().check(&Method::POST, headers)?;
    let body = Bytes::copy_from_slice(body);
    Ok(route().events(context, headers, body, 0)?.remove(0))
}

/// The value and the key of the record, or what is wrong.
fn by_configuration(body: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Problem> {
    event(&headers(&[]), body).map(|event| (event.value.to_vec(), event.key.unwrap()))
}

fn by_code(body: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Problem> {
    let sale = Sale::from_request_json(body)?;
    Ok((sale.to_json(), sale.product_id.into_bytes()))
}

fn assert_same(body: &[u8]) {
    assert_eq!(by_configuration(body), by_code(body), "{}", String::from_utf8_lossy(body));
}

#[test]
fn the_same_records_and_problems() {
    let swap = |from: &str, to: &str| SALE.replace(from, to);
    let long = "x".repeat(300);
    let bodies = [
        SALE.to_owned(),
        format!(" \n{SALE}\t "),
        r#"{ "cantidad_vendida": 2, "precio": 1, "producto_id": "t\u0076 é\"", "categoria": -1 }"#
            .to_owned(),
        swap("categoria", "\\u0063ategoria"),
        swap("19.99", "-0.0"),
        swap("19.99", "0.1e-3"),
        swap("19.99", "1000000"),
        swap("19.99", "1000000.01"),
        swap("19.99", "-0.01"),
        swap("19.99", "1e300"),
        swap("19.99", "1e999"),
        swap("19.99", "\"19.99\""),
        swap("19.99", "null"),
        swap("19.99", "NaN"),
        swap("19.99", "{}"),
        swap("19.99", "[1]"),
        swap("19.99", "123456789012345678901234567890"),
        swap(r#""categoria":1,"#, ""),
        swap(r#","cantidad_vendida":2"#, ""),
        swap(":1,", ":\"1\","),
        swap(":1,", ":1.0,"),
        swap(":1,", ":true,"),
        swap(":1,", ":1e999,"),
        swap(":1,", ":3000000000,"),
        swap(":1,", ":-2147483648,"),
        swap("\"tv\"", "7"),
        swap("\"tv\"", "\"\""),
        swap("\"tv\"", "\"a\\u0000b\""),
        swap("\"tv\"", "\"\\ud800\""),
        swap("\"tv\"", &format!("\"{}\"", "x".repeat(128))),
        swap("\"tv\"", &format!("\"{}\"", "x".repeat(129))),
        swap(":2}", ":0}"),
        swap(":2}", ":1000001}"),
        swap(":2}", ":2.5}"),
        swap(":2}", ":2,\"precio\":1}"),
        swap(":2}", ":2,\"color\":1}"),
        swap(":2}", ":2,\"a`b.c\":1}"),
        swap(":2}", &format!(":2,\"{long}\":1}}")),
        swap(":2}", ":2} {}"),
        swap(":2}", ":2"),
        swap("{", "[{"),
        format!("[{SALE}]"),
        r#"[1,"tv",19.99,2]"#.to_owned(),
        "{}".to_owned(),
        "{".to_owned(),
        String::new(),
        "null".to_owned(),
        "\u{c}{}".to_owned(),
        // Two faults: the first in the order of the fields, or of the text, is reported.
        swap("19.99", "-1").replace("tv", ""),
        swap("19.99", "\"\"").replace(":2}", ":\"\"}"),
    ];
    bodies.iter().for_each(|body| assert_same(body.as_bytes()));
    assert_same(b"\xff\xfe");
    assert_same(b"{\"categoria\":1,\"producto_id\":\"\xff\"}");
    let accepted = bodies.iter().filter(|body| by_code(body.as_bytes()).is_ok()).count();
    assert!(accepted >= 8, "{accepted}");
}

#[test]
fn the_record_and_the_claim_are_those_of_the_writer() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = headers(&[("traceparent", TRACE), ("idempotency-key", "\"k\""), ("x-a", "b")]);
    let spaced = SALE.replace(',', ", ");
    let event = event(&headers, spaced.as_bytes()).unwrap();
    assert_eq!((&event.value[..], event.key.as_deref()), (SALE.as_bytes(), Some(&b"tv"[..])));
    let expected = [("idempotency-key", "k"), ("traceparent", TRACE)];
    assert_eq!(event.headers, expected.map(|(name, value)| (name.into(), value.into())));
    let claim = event.claim.unwrap();
    assert_eq!((&*claim.key, &*claim.content), ("k", SALE.as_bytes()));
}

#[test]
fn the_same_refusals_of_heads() {
    let check = |method: &Method, pairs: &[(&'static str, &str)], batch: bool| {
        let headers: HeaderMap =
            pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        let (types, bytes_max, result) = if batch {
            let types = &intake::many::MEDIA_TYPES[..];
            (types, 1 << 20, route().check_batch(method, &headers))
        } else {
            (&["application/json"][..], 64 << 10, route().check(method, &headers))
        };
        let code = intake::request::check(method, &headers, types, bytes_max);
        let code = if batch { code.and_then(|it| it.check_many_key()) } else { code };
        assert_eq!(result.map(drop), code.map(drop), "{method} {pairs:?}");
    };
    let (json, key) = (("content-type", "application/json"), "x".repeat(125));
    for batch in [false, true] {
        check(&Method::POST, &[json], batch);
        check(&Method::GET, &[json], batch);
        check(&Method::POST, &[], batch);
        check(&Method::POST, &[("content-type", "application/x-ndjson")], batch);
        for header in [
            ("content-encoding", "gzip"),
            ("content-length", "65536"),
            ("content-length", "65537"),
            ("content-length", "1048577"),
            ("idempotency-key", "a b"),
            ("idempotency-key", &*key),
        ] {
            check(&Method::POST, &[json, header], batch);
        }
        // Several faults: the first in the order of the checks is reported.
        check(&Method::POST, &[("content-length", "1048577"), ("idempotency-key", "")], batch);
        check(
            &Method::POST,
            &[json, ("content-length", "1048577"), ("idempotency-key", "")],
            batch,
        );
    }
}

#[test]
fn a_batch_has_a_result_for_each_sale() {
    let Some(Found::Batch(batch)) = ROUTES.find("/purchases/") else {
        unreachable!("the path of the batch")
    };
    let headers = headers(&[("idempotency-key", "k")]);
    let context = batch.check_batch(&Method::POST, &headers).unwrap();
    let zero = SALE.replace(":2}", ":0}");
    let body = Bytes::from(format!("[{SALE}, {zero}, {SALE} , 7]"));
    let events = batch.batch_events(&context, &headers, &body, 0).unwrap();
    let violations: Vec<Option<Violation>> =
        events.iter().map(|event| event.as_ref().err().cloned()).collect();
    let expected =
        [SALE, &zero, SALE, "7"].map(|item| Sale::from_request_json(item.as_bytes()).err());
    assert_eq!(violations, expected);
    let last = events[2].as_ref().unwrap();
    assert_eq!(last.value, SALE.as_bytes());
    assert_eq!(last.claim.as_ref().unwrap().key, "k:2");
    assert_eq!(last.headers, [("idempotency-key".into(), b"k:2".to_vec())]);
    for body in ["", "[]", "{}"] {
        assert!(batch.batch_events(&context, &headers, &body.into(), 0).is_err());
    }
}

proptest! {
    #[test]
    fn the_same_for_any_values(
        category in "[0-9]{1,11}|-?[0-9.e]{1,6}|null",
        product in "[^\\p{Cc}\"\\\\]{0,40}|[a\\u0080\\x1f]{0,3}",
        price: f64,
        quantity: i64,
        order in Just(vec![0, 1, 2, 3]).prop_shuffle(),
    ) {
        let fields = [
            format!("\"categoria\": {category}"),
            format!("\"producto_id\" :\"{product}\""),
            format!("\"precio\":{price}"),
            format!("\"cantidad_vendida\":{}", quantity % 2_000_000),
        ];
        let fields: Vec<_> = order.into_iter().map(|index| fields[index].clone()).collect();
        assert_same(format!("{{{}}}", fields.join(",")).as_bytes());
    }

    #[test]
    fn the_same_for_changed_bytes(place in 0..SALE.len(), byte: u8, cut in 0..SALE.len()) {
        let mut body = SALE.as_bytes().to_vec();
        body[place] = byte;
        assert_same(&body);
        assert_same(&body[..cut]);
    }
}
