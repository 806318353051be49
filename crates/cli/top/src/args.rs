//! The arguments of `doorbuster top`.

use std::fmt;

use url::Url;

/// Show the figures of a running application in the terminal.
///
/// The figures of the sales come from the read API of the application, those of the pipeline from
/// the operator port of each of its processes (`up --operator`). If standard output is not a
/// terminal, they are printed once, as with --once.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// URL of the application, which serves the read API.
    #[arg(value_name = "URL", value_parser = parse_base, default_value = "http://127.0.0.1:3000")]
    pub url: Base,
    /// Operator port, HOST:PORT or a URL. May be repeated: once for each process of the application.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = parse_base,
        default_value = "127.0.0.1:3001"
    )]
    pub operator: Vec<Base>,
    /// Print the figures once as plain text. The exit code is 1 unless the pipeline is healthy.
    #[arg(long)]
    pub once: bool,
}

/// The URL before the path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base(String);

impl Base {
    /// The URL of this path, which begins with `/`.
    pub fn with_path(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses `HOST:PORT` or a URL. Parts that would have no effect are refused.
pub fn parse_base(text: &str) -> Result<Base, String> {
    let example = "write HOST:PORT or http://HOST:PORT";
    let has_scheme = text.contains("://");
    let full = if has_scheme { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&full).map_err(|error| format!("{error}; {example}"))?;
    if url.scheme() != "http" {
        let scheme = url.scheme();
        return Err(format!("`{scheme}` is not supported, only plain HTTP; {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("a user and a password are not sent; {example}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("a query and a fragment are not sent; {example}"));
    }
    if url.port() == Some(0) {
        return Err(format!("port 0 cannot be connected to; {example}"));
    }
    Ok(Base(url.as_str().trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::parse_base;

    #[test]
    fn a_base_is_an_address_or_a_url() {
        for (text, base) in [
            ("127.0.0.1:3001", "http://127.0.0.1:3001"),
            ("localhost:3001", "http://localhost:3001"),
            ("[::1]:3001", "http://[::1]:3001"),
            ("http://shop.example", "http://shop.example"),
            ("http://shop.example/", "http://shop.example"),
            ("http://shop.example/sales/", "http://shop.example/sales"),
        ] {
            let parsed = parse_base(text).unwrap();
            assert_eq!(parsed.to_string(), base, "{text}");
            assert_eq!(parsed.with_path("/metrics"), format!("{base}/metrics"));
        }
    }

    #[test]
    fn parts_without_an_effect_are_refused() {
        for text in [
            "",
            "http://",
            "https://shop.example",
            "ftp://shop.example",
            "http://user:secret@shop.example",
            "user@shop.example:80",
            "http://shop.example/?a=b",
            "http://shop.example/#a",
            "127.0.0.1:0",
            "127.0.0.1:70000",
            "a b:1",
        ] {
            let fault = parse_base(text).unwrap_err();
            assert!(fault.contains("HOST:PORT") && !fault.contains("secret"), "{text}: {fault}");
        }
    }
}
