//! Whether a server is the primary: what it says when it is asked, and what shows it later.

use crate::{Reply, Scalar};

/// Under which name HELLO tells a server's role.
pub const ROLE: &str = "role";

/// The role that takes writes.
pub const PRIMARY: &str = "master";

/// What a role is called that the server does not tell, as a Sentinel.
pub(crate) const UNTOLD: &str = "not told";

/// Codes of the errors of a server that takes no writes for what it is: a replica; one that
/// has lost its primary; one that has just been started, while another may have taken its place;
/// a primary that its replicas have left, perhaps for a new one.
const CODES: [&str; 4] = ["READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS"];

/// The role of the server that answered HELLO like this, if it is not the primary.
pub(crate) fn other_role(hello: &Reply) -> Option<String> {
    let Reply::Pairs(pairs) = hello else { return Some(UNTOLD.into()) };
    let role = pairs.iter().find_map(|(name, value)| match (name, value) {
        (Scalar::Text(name), Scalar::Text(role)) if name == ROLE.as_bytes() => {
            Some(role.as_slice())
        }
        _ => None,
    });
    (role != Some(PRIMARY.as_bytes()))
        .then(|| role.map_or(UNTOLD.into(), |role| String::from_utf8_lossy(role).into_owned()))
}

/// The role of the server whose INFO this is, if it is not the primary.
pub(crate) fn role_in_info(info: &[u8]) -> Option<String> {
    let info = String::from_utf8_lossy(info);
    let role = info.lines().find_map(|line| line.trim().strip_prefix("role:")).unwrap_or(UNTOLD);
    (role != PRIMARY).then(|| role.to_owned())
}

/// Whether this reply shows that the server is not the primary, or may no longer be: whoever
/// wants to write should look for the primary anew. What was asked for was not done.
pub fn shows_no_primary(reply: &Reply) -> bool {
    let Reply::One(Scalar::Error(text)) = reply else { return false };
    // Before version 7 the error of a command in a script stood behind the script's place.
    let (_, inner) = text.rsplit_once(": -").unwrap_or_default();
    [text.as_str(), inner].iter().any(|text| CODES.contains(&code(text)))
}

/// The word that an error begins with.
pub(crate) fn code(error: &str) -> &str {
    error.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.into())
    }

    fn hello(role: Scalar) -> Reply {
        Reply::Pairs(vec![
            (text("server"), text("valkey")),
            (text("proto"), Scalar::Integer(3)),
            (text("role"), role),
            (text("modules"), Scalar::Nil),
        ])
    }

    #[test]
    fn hello_tells_the_role() {
        assert_eq!(other_role(&hello(text("master"))), None);
        assert_eq!(other_role(&hello(text("replica"))).as_deref(), Some("replica"));
        let sentinel = Reply::Pairs(vec![(text("mode"), text("sentinel"))]);
        for odd in [hello(Scalar::Nil), sentinel, Reply::One(text("OK"))] {
            assert_eq!(other_role(&odd).as_deref(), Some(UNTOLD));
        }
    }

    #[test]
    fn errors_show_that_it_is_no_primary() {
        for error in [
            "READONLY You can't write against a read only replica.",
            "READONLY You can't write against a read only replica. script: on @user_script:1.",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "LOADING Valkey is loading the dataset in memory",
            "NOREPLICAS Not enough good replicas to write.",
            "NOREPLICAS Not enough good replicas to write. script: on @user_script:1.",
            "ERR Error running script (call to f_1b): @user_script:7: @user_script: 7: -READONLY \
             You can't write against a read only replica.",
        ] {
            assert!(shows_no_primary(&Reply::One(Scalar::Error(error.into()))), "{error}");
        }
    }

    #[test]
    fn other_replies_do_not() {
        for error in [
            "",
            "NOSCRIPT No matching script.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Valkey is configured to save RDB snapshots",
            "WRONGTYPE READONLY holds no integer",
            "READONLYNESS",
            "ERR user_script:7: -OOM command not allowed",
        ] {
            assert!(!shows_no_primary(&Reply::One(Scalar::Error(error.into()))), "{error}");
        }
        assert!(!shows_no_primary(&Reply::One(text("READONLY"))));
        assert!(!shows_no_primary(&Reply::Many(vec![text("LOADING")])));
    }
}
