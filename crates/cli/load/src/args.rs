//! The arguments of `doorbuster load`.

use std::path::PathBuf;

use http::Uri;

/// One year.
const SECONDS_MAX: u64 = 365 * 24 * 60 * 60;

/// One day, because the pause between two attempts is one second at most.
const RETRIES_MAX: i64 = 24 * 60 * 60;

/// Parses a URL. Parts that would have no effect are refused.
fn parse_url(text: &str) -> Result<Uri, String> {
    let example = "write http://HOST:PORT/PATH";
    if text.contains('#') {
        return Err(format!("`#` and what follows it is not sent; {example}"));
    }
    let url: Uri = text.parse().map_err(|error| format!("{error}; {example}"))?;
    match url.scheme_str() {
        Some("http") => {}
        Some(scheme) => {
            return Err(format!("`{scheme}` is not supported, only plain HTTP; {example}"));
        }
        None => return Err(example.into()),
    }
    let authority = url.authority().ok_or(example)?;
    if authority.as_str().contains('@') {
        return Err(format!("a user and a password are not sent; {example}"));
    }
    let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    let no_port = matches!(after_host, "" | ":");
    if authority.host().is_empty()
        || !(no_port || authority.port_u16().is_some_and(|port| port > 0))
    {
        return Err(format!("`{authority}` is not a host with a port; {example}"));
    }
    Ok(url)
}

/// Send sales as fast as they are answered, and record which were accepted.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// URL to which the sales are sent.
    #[arg(
        long,
        value_name = "URL",
        value_parser = parse_url,
        default_value = "http://127.0.0.1:3000/purchase"
    )]
    pub url: Uri,
    /// Number of requests to send.
    #[arg(
        long,
        short = 'n',
        value_name = "N",
        default_value_t = 100_000,
        conflicts_with = "seconds"
    )]
    pub count: u64,
    /// Time in seconds for which to send requests, instead of their number.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    pub seconds: Option<u64>,
    /// Number of connections, each with one request at a time.
    #[arg(long, short = 'c', value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Requests per second, evenly distributed; by default as fast as they are answered. Latency is
    /// then measured from the time at which a request was due, so that it includes the delay of
    /// requests that wait behind a slow answer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Maximum number of retries after a temporary failure, with the same Idempotency-Key; Ctrl-C
    /// ends them.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=RETRIES_MAX))]
    pub retries: u32,
    /// Maximum time to wait for an answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    pub timeout: u64,
    /// Percentage of accepted requests that are repeated some time later, as by a client that did
    /// not get its answer. They must not be counted again.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub repeat: u8,
    /// Send no Idempotency-Key: a sale that is sent again is then counted again.
    #[arg(long, conflicts_with_all = ["repeat", "retries"])]
    pub without_keys: bool,
    /// Seed of the random sales: the same seed produces the same sales.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Number of different products in each category.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub products: u32,
    /// File to which every accepted sale is written, for `doorbuster verify`.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Print the summary as one line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Show no progress bar.
    #[arg(long, short)]
    pub quiet: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_url_says_what_is_done() {
        for url in [
            "http://127.0.0.1:3000/purchase",
            "http://shop.example",
            "http://shop.example:/x",
            "http://[::1]:3000/purchase?a=b",
        ] {
            assert!(parse_url(url).is_ok(), "{url}");
        }
        for url in [
            "https://shop.example/purchase",
            "ftp://shop.example/",
            "http://user:secret@shop.example/",
            "http://user@shop.example/",
            "http://127.0.0.1:99999/purchase",
            "http://127.0.0.1:0/purchase",
            "http://shop.example/#a",
            "http://:80/",
            "127.0.0.1:3000/purchase",
            "/purchase",
            "shop.example",
            "",
        ] {
            let fault = parse_url(url).unwrap_err();
            assert!(
                fault.contains("http://HOST:PORT/PATH") && !fault.contains("secret"),
                "{fault}"
            );
        }
    }

    #[test]
    fn retries_are_bounded() {
        let retries = |text| Cli::try_parse_from(["load", "--retries", text]);
        assert_eq!(retries("86400").unwrap().args.retries, 86_400);
        assert!(retries("86401").is_err());
    }

    #[test]
    fn times_are_bounded() {
        let seconds = |text: &str| {
            Cli::try_parse_from(["load", "--seconds", text]).map(|cli| cli.args.seconds)
        };
        assert_eq!(seconds("5").unwrap(), Some(5));
        for text in ["0", "18446744073709551615", "31536001"] {
            assert!(seconds(text).is_err(), "{text}");
            assert!(Cli::try_parse_from(["load", "--timeout", text]).is_err(), "{text}");
        }
    }
}
