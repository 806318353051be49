//! What is said first on a connection.

use crate::role::{code, other_role};
use crate::{Address, Reply, Scalar};

/// Under which name the server lists the connection.
const CLIENT_NAME: &str = "doorbuster";

/// Codes of the errors with which a server refuses a user, a password or a right.
const CREDENTIAL_CODES: [&str; 3] = ["NOAUTH", "WRONGPASS", "NOPERM"];

/// Why a connection is of no use, in the server's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The user, the password or the database.
    Credentials(String),
    /// It is not the primary: its role.
    Role(String),
    /// Something else: too many clients, a server that does not know RESP3.
    Other(String),
}

/// The protocol's version, who speaks, which database.
pub fn hello(address: &Address) -> Vec<Vec<Vec<u8>>> {
    let mut hello: Vec<Vec<u8>> = vec![b"HELLO".to_vec(), b"3".to_vec()];
    if let (Some(user), Some(password)) = (&address.user, &address.password) {
        hello.extend([b"AUTH".to_vec(), user.clone().into_bytes(), password.clone().into_bytes()]);
    }
    hello.extend([b"SETNAME".to_vec(), CLIENT_NAME.into()]);
    let mut commands = vec![hello];
    if address.database != 0 {
        commands.push(vec![b"SELECT".to_vec(), address.database.to_string().into_bytes()]);
    }
    commands
}

/// Whether the replies to [`hello`] say that the connection is of no use.
pub fn refusal(replies: &[Reply]) -> Option<Refusal> {
    let error = replies.iter().enumerate().find_map(|(index, reply)| {
        let Reply::One(Scalar::Error(text)) = reply else { return None };
        // After HELLO comes SELECT: what it refuses is the database.
        Some(if CREDENTIAL_CODES.contains(&code(text)) || index > 0 {
            Refusal::Credentials(text.clone())
        } else {
            Refusal::Other(text.clone())
        })
    });
    error.or_else(|| other_role(replies.first()?).map(Refusal::Role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_and_where() {
        let plain = hello(&Address::parse("redis://h").unwrap());
        let words = [b"HELLO".to_vec(), b"3".into(), b"SETNAME".into(), b"doorbuster".into()];
        assert_eq!(plain, [words.to_vec()]);
        let full = hello(&Address::parse("redis://u:p@h/2").unwrap());
        assert_eq!(full[0][2..5], [b"AUTH".to_vec(), b"u".into(), b"p".into()]);
        assert_eq!(full[1], [b"SELECT".to_vec(), b"2".into()]);
    }

    #[test]
    fn tells_credentials_from_other_refusals() {
        let error = |text: &str| Reply::One(Scalar::Error(text.into()));
        let text = |text: &str| Scalar::Text(text.into());
        let role = |role: &str| Reply::Pairs(vec![(text("role"), text(role))]);
        let ok = || Reply::One(text("OK"));
        assert_eq!(refusal(&[role("master"), ok()]), None);
        assert_eq!(refusal(&[role("replica"), ok()]), Some(Refusal::Role("replica".into())));
        for replies in [
            vec![error("WRONGPASS invalid username-password pair"), error("NOAUTH Authentication")],
            vec![error("NOAUTH HELLO must be called with the client already authenticated")],
            vec![role("replica"), error("ERR DB index is out of range")],
        ] {
            assert!(matches!(refusal(&replies), Some(Refusal::Credentials(_))), "{replies:?}");
        }
        for text in ["ERR max number of clients reached", "ERR unknown command 'HELLO'"] {
            assert_eq!(refusal(&[error(text)]), Some(Refusal::Other(text.into())));
        }
    }
}
