//! Detects whether a server is the primary, from its reported role and from later errors.

use crate::{Reply, Scalar};

/// The name of the field with the server's role in the reply to HELLO.
pub const ROLE: &str = "role";

/// The role of a server that accepts writes.
pub const PRIMARY: &str = "master";

/// Used as the role of a server that reports none, such as a Sentinel.
pub const UNKNOWN_ROLE: &str = "not reported";

/// Codes of the errors of a server that does not accept writes: a replica; a replica that has lost
/// its primary; a server that was just started, while another one may have become the primary; a
/// primary with too few replicas, perhaps because they follow a new primary.
const CODES: [&str; 4] = ["READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS"];

/// The role according to the reply to HELLO; None for the primary.
pub(crate) fn other_role(hello: &Reply) -> Option<String> {
    let Reply::Pairs(pairs) = hello else { return Some(UNKNOWN_ROLE.into()) };
    let role = pairs.iter().find_map(|(name, value)| match (name, value) {
        (Scalar::Text(name), Scalar::Text(role)) if name == ROLE.as_bytes() => {
            Some(role.as_slice())
        }
        _ => None,
    });
    (role != Some(PRIMARY.as_bytes())).then(|| {
        role.map_or(UNKNOWN_ROLE.into(), |role| String::from_utf8_lossy(role).into_owned())
    })
}

/// The role according to the reply to INFO; None for the primary.
pub(crate) fn role_in_info(info: &[u8]) -> Option<String> {
    let info = String::from_utf8_lossy(info);
    let role =
        info.lines().find_map(|line| line.trim().strip_prefix("role:")).unwrap_or(UNKNOWN_ROLE);
    (role != PRIMARY).then(|| role.to_owned())
}

/// Whether a reply means that the server is not the primary, or may no longer be, so that the
/// client should look for the primary again. The command was not executed.
pub fn shows_no_primary(reply: &Reply) -> bool {
    let Reply::One(Scalar::Error(text)) = reply else { return false };
    // Before version 7, the error of a command in a script was preceded by its position in the
    // script.
    let (_, inner) = text.rsplit_once(": -").unwrap_or_default();
    [text.as_str(), inner].iter().any(|text| CODES.contains(&code(text)))
}

/// The first word of an error: its code.
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
    fn hello_reports_the_role() {
        assert_eq!(other_role(&hello(text("master"))), None);
        assert_eq!(other_role(&hello(text("replica"))).as_deref(), Some("replica"));
        let sentinel = Reply::Pairs(vec![(text("mode"), text("sentinel"))]);
        for odd in [hello(Scalar::Nil), sentinel, Reply::One(text("OK"))] {
            assert_eq!(other_role(&odd).as_deref(), Some(UNKNOWN_ROLE));
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
