//! The address of a database, and whether a component may connect to it.

use spin_app::allowed_hosts::AllowedHosts;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::bindings::v4::Error;
use crate::limits::{ADDRESS_BYTES_MAX, CONNECT_LIMIT, STATEMENT_LIMIT};

/// The scheme of PostgreSQL in `allowed_outbound_hosts`.
const SCHEME: &str = "postgres";

/// The default port.
const PORT: u16 = 5432;

/// The servers at an address and how to log in there. Errors do not quote the address, because it
/// contains a password.
pub(super) fn parse(address: &str, allowed: &AllowedHosts) -> Result<Config, Error> {
    let refused = |message: String| Error::ConnectionFailed(message);
    if address.len() > ADDRESS_BYTES_MAX {
        return Err(refused(format!("the address has more than {ADDRESS_BYTES_MAX} bytes")));
    }
    let mut config: Config = address.parse().map_err(|_| {
        let form =
            "postgres://USER:PASSWORD@HOST:PORT/DATABASE or host=HOST user=USER dbname=DATABASE";
        refused(format!("the address is not valid; it must have the form {form}"))
    })?;
    // It would be used instead of the host that was checked.
    if !config.get_hostaddrs().is_empty() {
        return Err(refused("`hostaddr` is not supported: write the address as `host`".into()));
    }
    let (hosts, ports) = (config.get_hosts(), config.get_ports());
    if hosts.is_empty() {
        return Err(refused("the address has no host".into()));
    }
    // Checked before any host is quoted: what follows the first `@` may belong to the password.
    if address.contains("://") && address.matches('@').count() > 1 || !hosts.iter().all(is_name) {
        return Err(refused(
            "a host of the address is not valid; in a URL, percent-encode `@` in the password as %40"
                .into(),
        ));
    }
    for (index, host) in hosts.iter().enumerate() {
        let Host::Tcp(host) = host else {
            return Err(refused("Unix sockets are not supported".into()));
        };
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(PORT);
        if !allowed.allows(SCHEME, host, port) {
            let url = format!("{SCHEME}://{host}:{port}");
            return Err(refused(format!(
                "address {url} is not permitted; add \"{url}\" to allowed_outbound_hosts"
            )));
        }
    }
    // The operating system probes the connection, so that a server that vanished is noticed.
    config
        .connect_timeout(CONNECT_LIMIT)
        .tcp_user_timeout(STATEMENT_LIMIT)
        .keepalives_idle(STATEMENT_LIMIT);
    Ok(config)
}

/// Whether a host has only the characters of names and IP addresses.
fn is_name(host: &Host) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    match host {
        Host::Tcp(host) => host.chars().all(is_allowed),
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// The servers of the address, for messages.
pub(super) fn servers(config: &Config) -> String {
    let ports = config.get_ports();
    let server = |(index, host): (usize, &Host)| match host {
        Host::Tcp(host) => {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(PORT);
            format!("{host}:{port}")
        }
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    };
    config.get_hosts().iter().enumerate().map(server).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use spin_app::variables::Variables;

    use super::*;

    fn check(address: &str) -> Result<Config, String> {
        let entries = ["postgres://db.example.com", "postgres://10.0.0.0/8:5000..5009"];
        let entries = entries.map(str::to_owned);
        let allowed = AllowedHosts::parse("c", &entries, &Variables::default()).unwrap();
        parse(address, &allowed).map_err(|error| match error {
            Error::ConnectionFailed(message) => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn every_server_of_an_address_must_be_allowed() {
        for address in [
            "postgres://u:hunter2@db.example.com/d",
            "postgresql://10.1.2.3:5001,db.example.com:5432/d",
            "host=10.1.2.3,10.1.2.4 port=5003 password=hunter2",
            "host=db.example.com sslmode=require",
        ] {
            check(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        }
        let servers = servers(&check("host=10.1.2.3,10.1.2.4 port=5003").unwrap());
        assert_eq!(servers, "10.1.2.3:5003,10.1.2.4:5003");
    }

    #[test]
    fn another_address_is_refused_without_its_password() {
        for (address, expected) in [
            ("postgres://u:hunter2@db.example.com:5433/d", "\"postgres://db.example.com:5433\""),
            ("postgres://10.1.2.3:5001,other:5432/d?password=hunter2", "postgres://other:5432"),
            ("host=db.example.com hostaddr=10.9.9.9 password=hunter2", "`hostaddr`"),
            ("host=/var/run/postgresql password=hunter2", "Unix sockets"),
            ("user=u password=hunter2", "no host"),
            ("password=hunter2 hunter2 = =", "not valid"),
            ("postgres://db.example.com?hunter2=1", "not valid"),
            ("postgres://u:a@hunter2@db.example.com/d", "%40"),
            ("postgres://u:a@hunter2/b@db.example.com/d", "%40"),
            ("postgres://u:a@hunter2,b@db.example.com/d", "%40"),
            ("host='db example hunter2' user=u", "%40"),
        ] {
            let error = check(address).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{address}: {error}");
        }
    }
}
