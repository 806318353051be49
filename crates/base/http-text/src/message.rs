//! Complete messages, as the interface `doorbuster:http` passes them.

use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::FIELDS_BYTES_MAX;

/// The most bytes of the body of a complete message. Longer ones are to be streamed: a peer may
/// take its time to receive a message, which the host stores meanwhile.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Checks the bytes of a message: of its body, and of its header and trailer fields.
pub fn check_size(body: usize, headers: usize, trailers: usize) -> Result<(), &'static str> {
    if body > BODY_BYTES_MAX {
        return Err("a body of more than 1 MiB");
    }
    if headers.saturating_add(trailers) > FIELDS_BYTES_MAX {
        return Err("more than 128 KiB of header and trailer fields");
    }
    Ok(())
}

/// The method and the URL of a request. The error says what is invalid.
pub fn request_target(
    method: &str,
    scheme: Option<&str>,
    authority: Option<&str>,
    path_with_query: &str,
) -> Result<(Method, Uri), &'static str> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| "an invalid method")?;
    let scheme = scheme.map_or(Ok(Scheme::HTTP), str::parse).map_err(|_| "an invalid scheme")?;
    let authority: Authority =
        authority.unwrap_or_default().parse().map_err(|_| "no valid authority")?;
    // An absolute URL in place of the path would address another server.
    if !path_with_query.starts_with('/') {
        return Err("a path that does not begin with a slash");
    }
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path_with_query);
    Ok((method, uri.build().map_err(|_| "an invalid path")?))
}

/// Checks the announced length of a body, if there is one: the receiver takes this number of bytes
/// for the body, and the rest for the next message.
pub fn check_length(headers: &HeaderMap, length: usize) -> Result<(), &'static str> {
    let mut announced = headers.get_all(header::CONTENT_LENGTH).iter();
    match (announced.next().map(HeaderValue::to_str), announced.next()) {
        (None, _) => Ok(()),
        (Some(Ok(announced)), None) if announced == length.to_string() => Ok(()),
        _ => Err("a `content-length` that is not the length of its body"),
    }
}

/// Checks the announced length of a request's body, and adds it if it is missing.
pub fn complete_length(headers: &mut HeaderMap, length: usize) -> Result<(), &'static str> {
    check_length(headers, length)?;
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_method_and_a_url() {
        let (method, uri) = request_target("POST", None, Some("h:1"), "/a?b=c").unwrap();
        assert_eq!((method, uri.to_string().as_str()), (Method::POST, "http://h:1/a?b=c"));
        let (_, uri) = request_target("GET", Some("https"), Some("h"), "/").unwrap();
        assert_eq!(uri, "https://h/");
    }

    #[test]
    fn an_invalid_target_is_refused() {
        for (method, scheme, authority, path, expected) in [
            ("P OST", None, Some("h"), "/", "method"),
            ("GET", Some("h ttp"), Some("h"), "/", "scheme"),
            ("GET", None, None, "/", "authority"),
            ("GET", None, Some("a/b"), "/", "authority"),
            ("GET", None, Some("h"), "http://other/", "slash"),
            ("GET", None, Some("h"), "*", "slash"),
            ("GET", None, Some("h"), "", "slash"),
            ("GET", None, Some("h"), "/ a", "path"),
        ] {
            let fault = request_target(method, scheme, authority, path).unwrap_err();
            assert!(fault.contains(expected), "{expected}: {fault}");
        }
    }

    #[test]
    fn the_size_of_the_body_and_of_the_fields_is_limited() {
        check_size(BODY_BYTES_MAX, FIELDS_BYTES_MAX - 1, 1).unwrap();
        assert!(check_size(BODY_BYTES_MAX + 1, 0, 0).unwrap_err().contains("1 MiB"));
        assert!(check_size(0, FIELDS_BYTES_MAX, 1).unwrap_err().contains("128 KiB"));
    }

    #[test]
    fn the_announced_length_is_that_of_the_body() {
        let mut headers = HeaderMap::new();
        complete_length(&mut headers, 4).unwrap();
        assert_eq!(headers[header::CONTENT_LENGTH], "4");
        complete_length(&mut headers, 4).unwrap();
        assert_eq!(headers.len(), 1);
        check_length(&headers, 5).unwrap_err();
        headers.append(header::CONTENT_LENGTH, HeaderValue::from(4));
        check_length(&headers, 4).unwrap_err();
    }
}
