//! References of artifacts.

use oci_client::Reference;

use crate::Error;

/// Parses `REGISTRY/NAME[:TAG][@DIGEST]`.
///
/// The registry must be specified: otherwise a misspelt path would be requested from a public
/// registry.
pub fn parse(text: &str) -> Result<Reference, Error> {
    let fault = |message: String| Error::Reference { text: text.into(), message };
    let (registry, _) = text.split_once('/').unwrap_or_default();
    if !(registry.contains(['.', ':']) || registry == "localhost") || registry.starts_with('.') {
        return Err(fault("must be REGISTRY/NAME[:TAG], such as localhost:5000/shop:1.0".into()));
    }
    let host = registry.rsplit(']').next().unwrap_or(registry);
    if let Some((_, port)) = host.split_once(':')
        && !port.parse::<u16>().is_ok_and(|port| port > 0)
    {
        return Err(fault(format!("`{port}` is no port")));
    }
    text.parse().map_err(|error: oci_client::ParseError| fault(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_reference_names_its_registry() {
        for text in [
            "localhost/shop",
            "localhost:5000/shop:1.0",
            "127.0.0.1:5000/team/shop@sha256:\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "registry.example/team/shop:1",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in [
            "spin.tml",
            "shop",
            "shop:1.0",
            "folder/spin.toml",
            "./spin.toml",
            "../x/spin.toml",
            "/srv/spin.toml",
            "localhost:5000/",
            "localhost:5000/SHOP",
            "127.0.0.1:99999/shop",
            "127.0.0.1:0/shop",
            "localhost:/shop",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
