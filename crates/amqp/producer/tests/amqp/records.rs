//! Confirms, and records that the broker does not take.

use std::time::Duration;

use amqp_producer::{Config, OutgoingRecord, ProduceError, Producer};
use futures::future::join_all;
use lapin::types::AMQPValue;
use test_servers::{QueueClient, RabbitMq, RabbitMqConfig, RabbitMqTls, eventually};

use crate::support::{config, declare, record, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_acknowledged_only_if_a_queue_has_it() {
    let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let authority = signed.cert.pem();
    let tls =
        RabbitMqTls { certificate: authority.clone(), key: signed.signing_key.serialize_pem() };
    let broker = RabbitMq::start(RabbitMqConfig { tls: Some(tls), ..RabbitMqConfig::default() })
        .await
        .unwrap();
    let url = broker.url();
    let client = QueueClient::connect(&url).await.unwrap();
    client.declare("posts").await.unwrap();

    // Records of one call keep their order.
    let producer = Producer::new(config(&url, ""));
    let call = |ids: std::ops::Range<u32>| ids.map(|id| record("posts", &id.to_string())).collect();
    let sent = producer.send_each(call(0..100)).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let key = Some(b"\xffkey".to_vec());
    send(&producer, OutgoingRecord { key: key.clone(), ..record("posts", "last") }).await.unwrap();
    assert_eq!(producer.fault(), None);
    for id in (0..100).map(|id| id.to_string()).chain(["last".into()]) {
        let message = client.take("posts").await.unwrap().unwrap();
        assert_eq!(message.data, id.as_bytes());
        let properties = message.properties;
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id);
        assert_eq!(properties.delivery_mode(), &Some(2));
        let headers = properties.headers().as_ref().unwrap().inner();
        let key = key.as_ref().filter(|_| id == "last").cloned();
        let key = key.map_or(AMQPValue::Void, |key| AMQPValue::LongString(key.into()));
        assert_eq!(headers.get(amqp_client::headers::KEY), Some(&key));
    }

    // Calls at the same time: each is answered for its own record.
    let calls = (0..200).map(|number| {
        let topic = if number % 2 == 0 { "posts" } else { "no-queue" };
        send(&producer, record(topic, "x"))
    });
    for (number, sent) in join_all(calls).await.into_iter().enumerate() {
        match sent {
            Ok(()) => assert_eq!(number % 2, 0, "a record without a queue"),
            Err(ProduceError::Refused(text)) => {
                assert!(number % 2 == 1 && text.contains("topic `no-queue`"), "{text}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    let both = vec![record("no-queue", "x"), record("posts", "x")];
    let sent = producer.send_each(both).await;
    assert!(matches!(sent[..], [Err(ProduceError::Refused(_)), Ok(_)]), "{sent:?}");
    assert_eq!(client.waiting("posts").await.unwrap(), 101);

    // A full queue, and an exchange.
    let rejects = [
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    declare(&url, "small", Some("amq.topic"), &rejects).await;
    send(&producer, record("small", "1")).await.unwrap();
    let full = send(&producer, record("small", "2")).await.unwrap_err();
    assert!(matches!(&full, ProduceError::Unavailable(text) if text.contains("length limit")));
    client.take("small").await.unwrap().unwrap();
    let topics = Producer::new(config(&url, "amq.topic"));
    send(&topics, record("small", "3")).await.unwrap();
    assert_eq!(client.take("small").await.unwrap().unwrap().exchange.as_str(), "amq.topic");
    let missing = Producer::new(config(&url, "missing"));
    let error = send(&missing, record("small", "4")).await.unwrap_err();
    assert!(matches!(&error, ProduceError::Refused(text) if text.contains("missing")), "{error}");

    // A user without access, and encryption.
    let denied = Producer::new(config(&url.replace("guest:guest", "guest:wrong"), ""));
    let error = send(&denied, record("posts", "x")).await.unwrap_err();
    assert!(matches!(error, ProduceError::Refused(_)), "{error}");
    assert!(denied.fault().unwrap().contains("ACCESS_REFUSED"));
    let mut encrypted = Config::new(&broker.encrypted_url(), Some(authority.clone()), "").unwrap();
    encrypted.unreachable_timeout = crate::support::LIMIT;
    send(&Producer::new(encrypted), record("posts", "x")).await.unwrap();
    // An authority that is not trusted, and a certificate for another host.
    let unknown = Config::new(&broker.encrypted_url(), None, "").unwrap();
    let other_host = broker.encrypted_url().replace("127.0.0.1", "localhost");
    let other_host = Config::new(&other_host, Some(authority), "").unwrap();
    for config in [unknown, other_host] {
        let untrusted = Producer::new(config);
        eventually("the certificate is refused", async || {
            untrusted.fault().filter(|fault| fault.contains("certificate"))
        })
        .await;
        let error = send(&untrusted, record("posts", "x")).await.unwrap_err();
        assert!(matches!(error, ProduceError::Unavailable(_)), "{error}");
    }

    // A call that is dropped while its records wait for a broker that reads nothing: they keep their
    // room until they are sent, and the connection is not lost.
    declare(&url, "large", None, &[]).await;
    send(&producer, record("large", "1")).await.unwrap();
    broker.pause().unwrap();
    let sending = tokio::spawn({
        let producer = producer.clone();
        let value = Some(vec![b'x'; 4 * 1024 * 1024]);
        let large = |_| OutgoingRecord { value: value.clone(), ..record("large", "2") };
        let records = (0..8).map(large).collect();
        async move { producer.send_each(records).await }
    });
    let waiting = async || producer.flush(Duration::ZERO).await.err();
    eventually("the records are published", waiting).await;
    sending.abort();
    assert!(sending.await.is_err());
    assert_eq!(waiting().await.map(|error| error.records), Some(8));
    broker.resume().unwrap();
    eventually("the records are sent", async || producer.flush(Duration::ZERO).await.ok()).await;
    send(&producer, record("large", "3")).await.unwrap();
    assert_eq!(producer.metrics().replaced.get(), 0);
}
