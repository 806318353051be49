//! The first commands on a connection, and the evaluation of their replies.

use crate::role::{UNKNOWN_ROLE, code, other_role, role_in_info, shows_no_primary};
use crate::{Address, Reply, Scalar};

/// The name under which the server lists the connection.
const CLIENT_NAME: &str = "doorbuster";

/// Codes of the errors with which a server rejects a user, a password or a missing permission.
const CREDENTIAL_CODES: [&str; 3] = ["NOAUTH", "WRONGPASS", "NOPERM"];

/// A script that is declared as writing but writes nothing. A server that would refuse its writes
/// refuses the script, with the reason. This detects a former primary that was restarted after a
/// failover: it reports the role of a primary for a while, but refuses writes because of
/// `min-replicas-to-write`. Servers before version 7 reject the script's first line as a syntax
/// error.
const PROBE: &str = "#!lua\nreturn 1";

/// Why a connection cannot be used, with the server's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The user, the password or the database was rejected.
    Credentials(String),
    /// The server is not the primary; contains its role.
    Role(String),
    /// Another reason, for example too many clients, no RESP3, or no writes.
    Other(String),
}

/// The user to which a password without a user name belongs.
const DEFAULT_USER: &str = "default";

/// The codes that errors begin with.
const CODES: [&str; 8] =
    ["ERR", "NOAUTH", "WRONGPASS", "NOPERM", "NOPROTO", "LOADING", "READONLY", "NOREPLICAS"];

/// Beginnings of errors that do not repeat an argument of the command.
const HARMLESS: [&str; 8] = [
    "ERR max number of clients",
    "ERR DB index",
    "WRONGPASS invalid",
    "NOAUTH ",
    "LOADING ",
    "READONLY ",
    "MASTERDOWN ",
    "NOREPLICAS ",
];

/// Commands that select RESP3, authenticate and name the client, then check that the server accepts
/// writes, and select the database.
pub fn hello(address: &Address) -> Vec<Vec<Vec<u8>>> {
    let mut hello: Vec<Vec<u8>> = vec![b"HELLO".to_vec(), b"3".to_vec()];
    if let (Some(user), Some(password)) = (&address.user, &address.password) {
        hello.extend([b"AUTH".to_vec(), user.clone().into_bytes(), password.clone().into_bytes()]);
    }
    hello.extend([b"SETNAME".to_vec(), CLIENT_NAME.into()]);
    [vec![hello], probe_and_select(address)].concat()
}

/// The same for a server that does not support HELLO, such as an old one or a proxy. The connection
/// uses RESP2.
pub fn hello_resp2(address: &Address) -> Vec<Vec<Vec<u8>>> {
    let mut commands: Vec<_> = auth_resp2(address).into_iter().collect();
    commands.push(vec![b"INFO".to_vec(), b"replication".to_vec()]);
    [commands, probe_and_select(address)].concat()
}

/// The command that authenticates on a connection with RESP2; None if there is no password.
pub fn auth_resp2(address: &Address) -> Option<Vec<Vec<u8>>> {
    let (user, password) = (address.user.as_ref()?, address.password.as_ref()?);
    let mut auth = vec![b"AUTH".to_vec()];
    // Servers before version 6 have no users and expect only the password.
    auth.extend((user != DEFAULT_USER).then(|| user.clone().into_bytes()));
    auth.push(password.clone().into_bytes());
    Some(auth)
}

fn probe_and_select(address: &Address) -> Vec<Vec<Vec<u8>>> {
    let mut commands = vec![vec![b"EVAL".to_vec(), PROBE.into(), b"0".to_vec()]];
    if address.database != 0 {
        commands.push(vec![b"SELECT".to_vec(), address.database.to_string().into_bytes()]);
    }
    commands
}

/// Whether the first reply to [`hello`] means that the server does not support HELLO. Some servers
/// that require a password report a missing password first, although it was sent.
pub fn is_hello_unsupported(address: &Address, reply: &Reply) -> bool {
    error(reply).is_some_and(|text| {
        text.starts_with("ERR unknown command")
            || code(text) == "NOPROTO"
            || address.password.is_some() && code(text) == "NOAUTH"
    })
}

/// Why the connection cannot be used, according to the replies to [`hello`]; None if it can. May be
/// called with the first reply only, because a server may close the connection after it.
pub fn refusal(address: &Address, replies: &[Reply]) -> Option<Refusal> {
    let (first, rest) = replies.split_first()?;
    match error(first) {
        Some(text) if CREDENTIAL_CODES.contains(&code(text)) => {
            Some(Refusal::Credentials(without_password(address, text)))
        }
        Some(text) => Some(Refusal::Other(without_password(address, text))),
        None => other_role(first).map(Refusal::Role).or_else(|| unwritable(address, rest)),
    }
}

/// The same for the replies to [`hello_resp2`], or to [`auth_resp2`] alone.
pub fn refusal_resp2(address: &Address, replies: &[Reply]) -> Option<Refusal> {
    let (auth, rest) = replies.split_at_checked(usize::from(address.password.is_some()))?;
    if let Some(text) = auth.first().and_then(error) {
        return Some(Refusal::Credentials(without_password(address, text)));
    }
    let (info, rest) = rest.split_first()?;
    match (error(info), info) {
        (Some(text), _) if CREDENTIAL_CODES.contains(&code(text)) => {
            Some(Refusal::Credentials(without_password(address, text)))
        }
        (Some(text), _) => Some(Refusal::Other(without_password(address, text))),
        (None, Reply::One(Scalar::Text(info))) => {
            role_in_info(info).map(Refusal::Role).or_else(|| unwritable(address, rest))
        }
        (None, _) => Some(Refusal::Role(UNKNOWN_ROLE.into())),
    }
}

/// Why the connection cannot be used, according to the replies to the probe and to SELECT.
fn unwritable(address: &Address, replies: &[Reply]) -> Option<Refusal> {
    let (probe, select) = replies.split_first()?;
    // Other errors of the probe are ignored: the user may lack the permission to use EVAL, or the
    // server may be too old.
    if let Some(text) = error(probe).filter(|_| shows_no_primary(probe)) {
        return Some(Refusal::Other(without_password(address, text)));
    }
    let text = select.iter().find_map(error)?;
    Some(Refusal::Credentials(without_password(address, text)))
}

/// A server's text in a form that may be logged. Some servers repeat the arguments of a command
/// that they do not know, and with them the password. If a password was sent, only texts that are
/// known not to contain it are returned in full.
pub fn without_password(address: &Address, text: &str) -> String {
    let Some(password) = &address.password else { return text.into() };
    let harmless = HARMLESS.iter().any(|known| text.starts_with(known));
    if harmless && !text.contains(password.as_str()) {
        return text.into();
    }
    let code = Some(code(text)).filter(|code| CODES.contains(code)).unwrap_or("an error");
    format!("{code} (the rest is omitted because it may contain the password)")
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

    fn open() -> Address {
        Address::parse("redis://h").unwrap()
    }

    fn secured() -> Address {
        Address::parse("redis://ana:hunter2@h").unwrap()
    }

    fn refusal(replies: &[Reply]) -> Option<Refusal> {
        super::refusal(&open(), replies)
    }

    #[test]
    fn texts_do_not_contain_the_password() {
        for text in [
            "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `ana`, `hunter2`, ",
            "ERR unknown command 'AUTH', with args beginning with: 'hunter2'",
            "hunter2 is what you sent",
            "HUNTER2",
            "WRONGPASS invalid username-password pair: hunter2",
        ] {
            for replies in [vec![error(text)], vec![role("master"), one(), error(text)]] {
                let found = super::refusal(&secured(), &replies);
                assert!(!format!("{found:?}").to_lowercase().contains("hunter2"), "{found:?}");
                let parts = [ok(), error(text)];
                let found = refusal_resp2(&secured(), &parts);
                assert!(!format!("{found:?}").to_lowercase().contains("hunter2"), "{found:?}");
            }
        }
        let text = "WRONGPASS invalid username-password pair or user is disabled.";
        let expected = Some(Refusal::Credentials(text.into()));
        assert_eq!(super::refusal(&secured(), &[error(text)]), expected);
    }

    #[test]
    fn a_server_without_hello_gets_the_commands_of_resp2() {
        let message = "ERR unknown command `HELLO`, with args beginning with: `3`, ";
        let unknown = |reply| is_hello_unsupported(&secured(), &reply);
        assert!(unknown(error(message)) && unknown(error("NOPROTO sorry")));
        assert!(unknown(error("NOAUTH Authentication required.")));
        assert!(!unknown(error("WRONGPASS invalid")) && !unknown(role("master")));
        assert!(!is_hello_unsupported(&open(), &error("NOAUTH Authentication required.")));
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let commands = hello_resp2(&secured());
        let expected: Vec<Vec<u8>> = words(&["AUTH", "ana", "hunter2"]);
        assert_eq!(commands[0], expected);
        let alone = hello_resp2(&Address::parse("redis://:hunter2@h").unwrap());
        let expected: Vec<Vec<u8>> = words(&["AUTH", "hunter2"]);
        assert_eq!(alone[0], expected);
        let info = |role: &str| {
            Reply::One(text(&format!("# Replication\r\nrole:{role}\r\nconnected_slaves:0\r\n")))
        };
        assert_eq!(refusal_resp2(&open(), &[info("master"), one()]), None);
        assert_eq!(refusal_resp2(&secured(), &[ok(), info("master"), one(), ok()]), None);
        assert_eq!(
            refusal_resp2(&open(), &[info("slave"), one()]),
            Some(Refusal::Role("slave".into()))
        );
        for replies in [vec![error("ERR invalid password")], vec![ok(), error("NOPERM no")]] {
            let found = refusal_resp2(&secured(), &replies);
            assert!(matches!(found, Some(Refusal::Credentials(_))), "{found:?}");
        }
    }

    fn one() -> Reply {
        Reply::One(Scalar::Integer(1))
    }

    #[test]
    fn hello_contains_the_user_and_the_database() {
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let probe: Vec<Vec<u8>> = words(&["EVAL", PROBE, "0"]);
        let plain = hello(&Address::parse("redis://h").unwrap());
        assert_eq!(plain, [words(&["HELLO", "3", "SETNAME", "doorbuster"]), probe.clone()]);
        let full = hello(&Address::parse("redis://u:p@h/2").unwrap());
        assert_eq!(full[0][2..5], [b"AUTH".to_vec(), b"u".into(), b"p".into()]);
        assert_eq!(full[1..], [probe, words(&["SELECT", "2"])]);
    }

    #[test]
    fn refused_credentials_are_distinguished_from_other_refusals() {
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
    fn only_a_primary_that_accepts_writes_can_be_used() {
        assert_eq!(refusal(&[role("master")]), None);
        assert_eq!(refusal(&[role("master"), one(), ok()]), None);
        let replica = [role("replica"), error("READONLY You can't write")];
        assert_eq!(refusal(&replica), Some(Refusal::Role("replica".into())));
        for text in ["NOREPLICAS Not enough good replicas to write.", "LOADING the dataset"] {
            assert_eq!(refusal(&[role("master"), error(text)]), Some(Refusal::Other(text.into())));
        }
    }

    #[test]
    fn without_the_right_to_probe_only_the_role_decides() {
        for text in ["NOPERM no permission for 'eval'", "ERR Error compiling script"] {
            assert_eq!(refusal(&[role("master"), error(text), ok()]), None);
        }
    }
}
