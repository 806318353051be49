//! Tests of the codec with a real Valkey.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use test_servers::{Sentinel, SentinelConfig, Valkey, ValkeyConfig, start_valkey};
use valkey_codec::{
    Address, Decoder, Error, Refusal, Reply, Scalar, encode, hello, hello_resp2,
    is_hello_unsupported, refusal, refusal_resp2, shows_no_primary,
};

/// A connection that uses the codec directly, without the component.
struct Connection {
    stream: TcpStream,
    decoder: Decoder,
}

impl Connection {
    fn open(url: &str) -> Result<Self, Refusal> {
        let address = Address::parse(url).unwrap();
        let stream = TcpStream::connect((address.host.as_str(), address.port)).unwrap();
        let mut connection = Self { stream, decoder: Decoder::default() };
        let commands = hello(&address);
        connection.stream.write_all(&encode(&commands)).unwrap();
        let mut replies = connection.replies(1).unwrap();
        if is_hello_unsupported(&address, &replies[0]) {
            connection.replies(commands.len() - 1).unwrap();
            connection.decoder.expect_resp2();
            let commands = hello_resp2(&address);
            let replies = connection.pipeline(&commands).unwrap();
            return refusal_resp2(&address, &replies).map_or(Ok(connection), Err);
        }
        if refusal(&address, &replies).is_none() {
            replies.extend(connection.replies(commands.len() - 1).unwrap());
        }
        refusal(&address, &replies).map_or(Ok(connection), Err)
    }

    fn pipeline(&mut self, commands: &[Vec<Vec<u8>>]) -> Result<Vec<Reply>, Error> {
        self.stream.write_all(&encode(commands)).unwrap();
        self.replies(commands.len())
    }

    fn replies(&mut self, count: usize) -> Result<Vec<Reply>, Error> {
        let mut replies = Vec::new();
        while replies.len() < count {
            match self.decoder.next()? {
                Some(reply) => replies.push(reply),
                None => {
                    let mut buffer = [0; 4096];
                    let length = self.stream.read(&mut buffer).unwrap();
                    assert_ne!(length, 0, "the server closed the connection");
                    self.decoder.feed(&buffer[..length]);
                }
            }
        }
        Ok(replies)
    }

    fn run(&mut self, commands: &[&str]) -> Result<Vec<Reply>, Error> {
        let words = |command: &&str| command.split(' ').map(|word| word.into()).collect();
        self.pipeline(&commands.iter().map(words).collect::<Vec<_>>())
    }
}

fn text(text: &str) -> Scalar {
    Scalar::Text(text.into())
}

#[tokio::test]
async fn every_kind_of_reply() {
    let server = start_valkey(ValkeyConfig::default()).await.unwrap();
    let mut connection = Connection::open(&server.url()).unwrap();
    let replies = connection.run(&[
        "SET a x",
        "GET a",
        "GET none",
        "INCR n",
        "ZADD z 1.5 m",
        "ZSCORE z m",
        "RPUSH l a b",
        "LRANGE l 0 -1",
        "SADD s a",
        "SMEMBERS s",
        "HSET h f v",
        "HGETALL h",
        "INCR a",
        "EVALSHA 0123456789012345678901234567890123456789 0",
        "CLIENT GETNAME",
    ]);
    let replies = replies.unwrap();
    let errors = [&replies[12], &replies[13]].map(|reply| match reply {
        Reply::One(Scalar::Error(text)) => text.split(' ').next().unwrap().to_owned(),
        other => panic!("{other:?}"),
    });
    assert_eq!(errors, ["ERR", "NOSCRIPT"]);
    assert_eq!(
        replies[..12],
        [
            Reply::One(text("OK")),
            Reply::One(text("x")),
            Reply::One(Scalar::Nil),
            Reply::One(Scalar::Integer(1)),
            Reply::One(Scalar::Integer(1)),
            Reply::One(Scalar::Double(1.5)),
            Reply::One(Scalar::Integer(2)),
            Reply::Many(vec![text("a"), text("b")]),
            Reply::One(Scalar::Integer(1)),
            Reply::Many(vec![text("a")]),
            Reply::One(Scalar::Integer(1)),
            Reply::Pairs(vec![(text("f"), text("v"))]),
        ]
    );
    assert_eq!(replies[14], Reply::One(text("doorbuster")));
    connection.run(&["XADD x * f v"]).unwrap();
    assert!(matches!(connection.run(&["XRANGE x - +"]), Err(Error::Protocol(_))));
}

#[tokio::test]
async fn user_and_database() {
    let server = start_valkey(ValkeyConfig::default()).await.unwrap();
    let open = |user: &str, database: &str| {
        let url = server.url().replace("//", &format!("//{user}"));
        Connection::open(&format!("{url}/{database}"))
    };
    let mut admin = open("", "").unwrap();
    admin.run(&["ACL SETUSER ana on >p@s ~* +@all", "CONFIG SET maxclients 2"]).unwrap();
    let mut ana = open("ana:p%40s@", "3").unwrap();
    let replies = ana.run(&["ACL WHOAMI", "SET where three"]).unwrap();
    assert_eq!(replies[0], Reply::One(text("ana")));
    assert_eq!(admin.run(&["GET where"]).unwrap(), [Reply::One(Scalar::Nil)]);
    assert!(matches!(open("", ""), Err(Refusal::Other(_))), "a third client");
    drop(ana);
    admin.run(&["CONFIG SET maxclients 100"]).unwrap();
    assert!(matches!(open("ana:no@", ""), Err(Refusal::Credentials(_))));
    assert!(matches!(open("", "99"), Err(Refusal::Credentials(_))));
    admin.run(&["CONFIG SET requirepass secret"]).unwrap();
    assert!(matches!(open("", ""), Err(Refusal::Credentials(_))));
    assert!(open(":secret@", "").is_ok());
}

#[tokio::test]
async fn only_a_primary_can_be_used() {
    let primary = start_valkey(ValkeyConfig::default()).await.unwrap();
    let config = ValkeyConfig { replica_of: Some(primary.port()), ..ValkeyConfig::default() };
    let replica = start_valkey(config).await.unwrap();
    assert!(Connection::open(&primary.url()).is_ok());
    assert_eq!(Connection::open(&replica.url()).err(), Some(Refusal::Role("replica".into())));
    let config = SentinelConfig::new(primary.port());
    let sentinel = Sentinel::start(config).await.unwrap();
    let url = format!("redis://127.0.0.1:{}", sentinel.port());
    assert_eq!(Connection::open(&url).err(), Some(Refusal::Role("not reported".into())));
}

#[tokio::test]
async fn a_primary_without_its_replicas_cannot_be_used() {
    let config = ValkeyConfig { min_replicas: 1, ..ValkeyConfig::default() };
    let server = start_valkey(config).await.unwrap();
    let Some(Refusal::Other(text)) = Connection::open(&server.url()).err() else {
        panic!("it is used");
    };
    assert!(text.starts_with("NOREPLICAS"), "{text}");
    let config = ValkeyConfig { replica_of: Some(server.port()), ..ValkeyConfig::default() };
    let _replica = start_valkey(config).await.unwrap();
    while Connection::open(&server.url()).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_user_without_the_right_to_use_scripts_is_accepted() {
    let server = start_valkey(ValkeyConfig::default()).await.unwrap();
    let mut admin = Connection::open(&server.url()).unwrap();
    admin.run(&["ACL SETUSER ana on >p ~* +get"]).unwrap();
    let url = server.url().replace("//", "//ana:p@");
    assert_eq!(Connection::open(&url).unwrap().run(&["GET a"]).unwrap(), [Reply::One(Scalar::Nil)]);
}

#[tokio::test]
async fn errors_show_that_the_server_is_no_longer_the_primary() {
    const WRITES: [&str; 2] = ["SET a b", "EVAL return(redis.call('SET','a','b')) 0"];
    let server = start_valkey(ValkeyConfig::default()).await.unwrap();
    let mut connection = Connection::open(&server.url()).unwrap();
    let mut check = |change: &str, queries: &[&str], code: &str| {
        let mut commands = vec![change];
        commands.extend(queries);
        let replies = connection.run(&commands).unwrap();
        assert_eq!(replies[0], Reply::One(text("OK")), "{change}");
        for reply in &replies[1..] {
            let Reply::One(Scalar::Error(error)) = reply else { panic!("{reply:?}") };
            assert!(error.starts_with(code), "{error}");
            assert!(shows_no_primary(reply), "{error}");
        }
    };
    check("CONFIG SET min-replicas-to-write 1", &WRITES, "NOREPLICAS ");
    check("CONFIG SET min-replicas-to-write 0", &[], "");
    check("REPLICAOF 127.0.0.1 1", &WRITES, "READONLY ");
    check("CONFIG SET replica-serve-stale-data no", &["GET a"], "MASTERDOWN ");
}

/// A server that does not know a command, like old servers and some proxies.
async fn without(command: &str) -> Valkey {
    let words = ["--requirepass", "s3cret&word", "--rename-command", command, ""];
    let arguments = words.map(str::to_owned).to_vec();
    start_valkey(ValkeyConfig { arguments, ..ValkeyConfig::default() }).await.unwrap()
}

#[tokio::test]
async fn a_server_without_hello_is_used_with_resp2() {
    let server = without("HELLO").await;
    let url = |user: &str| format!("{}/2", server.url().replace("//", &format!("//{user}")));
    for user in [":s3cret&word@", "default:s3cret%26word@"] {
        let mut connection = Connection::open(&url(user)).unwrap();
        let replies = connection
            .run(&[
                "SET a x",
                "GET a",
                "GET none",
                "INCR n",
                "RPUSH l a b",
                "LRANGE l 0 -1",
                "INCR a",
            ])
            .unwrap();
        assert_eq!(replies[1], Reply::One(text("x")));
        assert_eq!(replies[2], Reply::One(Scalar::Nil));
        assert!(matches!(replies[3], Reply::One(Scalar::Integer(_))));
        assert_eq!(replies[5], Reply::Many(vec![text("a"), text("b")]));
        assert!(matches!(&replies[6], Reply::One(Scalar::Error(text)) if text.starts_with("ERR")));
        connection.run(&["DEL l"]).unwrap();
    }
    let wrong = Connection::open(&url(":wr0ng@")).err();
    assert!(matches!(&wrong, Some(Refusal::Credentials(_))), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("wr0ng"));
}

#[tokio::test]
async fn a_text_that_repeats_the_password_is_omitted() {
    let server = without("AUTH").await;
    let url = server.url().replace("//", "//:s3cret&word@");
    // HELLO also accepts a password, so both commands are disabled: there is no way to
    // authenticate.
    let arguments: Vec<String> =
        ["--rename-command", "AUTH", "", "--rename-command", "HELLO", ""].map(Into::into).to_vec();
    assert!(Connection::open(&url).is_ok());
    let server = start_valkey(ValkeyConfig { arguments, ..ValkeyConfig::default() }).await.unwrap();
    let refused = Connection::open(&server.url().replace("//", "//:s3cret&word@")).err();
    assert!(refused.is_some());
    assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
}
