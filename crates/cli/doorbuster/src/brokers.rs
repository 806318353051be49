//! The value of `--kafka`.

/// Checks a list of brokers, `HOST:PORT[,…]`. librdkafka accepts any text as a host, and would try
/// to connect to it until the timeout.
pub fn parse_brokers(text: &str) -> Result<String, String> {
    let fault = |broker: &str| format!("`{broker}` must be HOST:PORT, such as 127.0.0.1:9092");
    for broker in text.split(',').map(str::trim) {
        let (host, port) = broker.rsplit_once(':').ok_or_else(|| fault(broker))?;
        let host = match host.strip_prefix('[') {
            Some(address) => address.strip_suffix(']').ok_or_else(|| fault(broker))?,
            None if host.contains(':') => return Err(fault(broker)),
            None => host,
        };
        let fits = |c: char| c.is_alphanumeric() || ".-_:%".contains(c);
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if host.is_empty() || !host.chars().all(fits) || !is_port {
            return Err(fault(broker));
        }
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::parse_brokers;

    #[test]
    fn a_broker_is_a_host_and_a_port() {
        for text in ["127.0.0.1:9092", "a:1,b.example:2", "a:1, b:2", "[::1]:9092"] {
            assert_eq!(parse_brokers(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "nonsense",
            "a:",
            ":9092",
            "a:0",
            "a:70000",
            "a:1,",
            "a:1,b",
            "http://a:1",
            "::1",
            "a b:1",
        ] {
            assert!(parse_brokers(text).unwrap_err().contains("HOST:PORT"), "{text}");
        }
    }
}
