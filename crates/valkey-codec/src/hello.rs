//! What is said first on a connection.

use crate::role::{code, other_role, shows_no_primary};
use crate::{Address, Reply, Scalar};

/// Under which name the server lists the connection.
const CLIENT_NAME: &str = "doorbuster";

/// Codes of the errors with which a server refuses a user, a password or a right.
const CREDENTIAL_CODES: [&str; 3] = ["NOAUTH", "WRONGPASS", "NOPERM"];

/// A script that may write, and does not: a server that would refuse its writes refuses it, and
/// tells why. A primary that came back after its failover still calls itself one for a while; with
/// `min-replicas-to-write` it is known by this. Servers before version 7 call it a wrong script.
const PROBE: &str = "#!lua\nreturn 1";

/// Why a connection is of no use, in the server's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The user, the password or the database.
    Credentials(String),
    /// It is not the primary: its role.
    Role(String),
    /// Something else: too many clients, a server that does not know RESP3, or takes no writes.
    Other(String),
}

/// Where the probe's reply stands.
const PROBE_PLACE: usize = 1;

/// The protocol's version and who speaks; whether the server takes writes; which database.
pub fn hello(address: &Address) -> Vec<Vec<Vec<u8>>> {
    let mut hello: Vec<Vec<u8>> = vec![b"HELLO".to_vec(), b"3".to_vec()];
    if let (Some(user), Some(password)) = (&address.user, &address.password) {
        hello.extend([b"AUTH".to_vec(), user.clone().into_bytes(), password.clone().into_bytes()]);
    }
    hello.extend([b"SETNAME".to_vec(), CLIENT_NAME.into()]);
    let mut commands = vec![hello, vec![b"EVAL".to_vec(), PROBE.into(), b"0".to_vec()]];
    if address.database != 0 {
        commands.push(vec![b"SELECT".to_vec(), address.database.to_string().into_bytes()]);
    }
    commands
}

/// Whether the replies to [`hello`] say that the connection is of no use. The first may be looked
/// at alone: a server that refuses may close the connection without a word on the rest.
pub fn refusal(replies: &[Reply]) -> Option<Refusal> {
    replies.iter().enumerate().find_map(|(place, reply)| match (place, error(reply)) {
        (0, None) => other_role(reply).map(Refusal::Role),
        (0, Some(text)) if !CREDENTIAL_CODES.contains(&code(text)) => {
            Some(Refusal::Other(text.into()))
        }
        // Whoever may not use EVAL, or uses it on an old server, is told nothing by it.
        (PROBE_PLACE, Some(text)) => shows_no_primary(reply).then(|| Refusal::Other(text.into())),
        (_, Some(text)) => Some(Refusal::Credentials(text.into())),
        (_, None) => None,
    })
}

fn error(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::One(Scalar::Error(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.into())
    }

    fn error(text: &str) -> Reply {
        Reply::One(Scalar::Error(text.into()))
    }

    fn role(role: &str) -> Reply {
        Reply::Pairs(vec![(text("role"), text(role))])
    }

    fn ok() -> Reply {
        Reply::One(text("OK"))
    }

    fn one() -> Reply {
        Reply::One(Scalar::Integer(1))
    }

    #[test]
    fn says_who_and_where() {
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let probe: Vec<Vec<u8>> = words(&["EVAL", PROBE, "0"]);
        let plain = hello(&Address::parse("redis://h").unwrap());
        assert_eq!(plain, [words(&["HELLO", "3", "SETNAME", "doorbuster"]), probe.clone()]);
        let full = hello(&Address::parse("redis://u:p@h/2").unwrap());
        assert_eq!(full[0][2..5], [b"AUTH".to_vec(), b"u".into(), b"p".into()]);
        assert_eq!(full[1..], [probe, words(&["SELECT", "2"])]);
    }

    #[test]
    fn tells_credentials_from_other_refusals() {
        for replies in [
            vec![
                error("WRONGPASS invalid username-password pair"),
                error("NOAUTH"),
                error("NOAUTH"),
            ],
            vec![error("NOAUTH HELLO must be called with the client already authenticated")],
            vec![role("master"), one(), error("ERR DB index is out of range")],
        ] {
            assert!(matches!(refusal(&replies), Some(Refusal::Credentials(_))), "{replies:?}");
        }
        for text in ["ERR max number of clients reached", "ERR unknown command 'HELLO'"] {
            assert_eq!(refusal(&[error(text)]), Some(Refusal::Other(text.into())));
        }
    }

    #[test]
    fn only_a_primary_that_takes_writes_is_of_use() {
        assert_eq!(refusal(&[role("master")]), None);
        assert_eq!(refusal(&[role("master"), one(), ok()]), None);
        let replica = [role("replica"), error("READONLY You can't write")];
        assert_eq!(refusal(&replica), Some(Refusal::Role("replica".into())));
        for text in ["NOREPLICAS Not enough good replicas to write.", "LOADING the dataset"] {
            assert_eq!(refusal(&[role("master"), error(text)]), Some(Refusal::Other(text.into())));
        }
    }

    #[test]
    fn who_may_not_probe_is_taken_by_the_role_alone() {
        for text in ["NOPERM no permission for 'eval'", "ERR Error compiling script"] {
            assert_eq!(refusal(&[role("master"), error(text), ok()]), None);
        }
    }
}
