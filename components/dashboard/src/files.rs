//! The files of the live page, which are contained in the component.

use bytes::Bytes;
use guest_http::Answer;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::request::Parts;

use crate::answers::content;

/// The content security policy: the page may load its own files, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// A file of the page.
pub struct File {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
}

macro_rules! embedded {
    ($path:literal, $media_type:literal, $name:literal) => {
        File {
            path: $path,
            media_type: $media_type,
            content: include_str!(concat!("../pages/", $name)),
        }
    };
}

const FILES: [File; 14] = [
    embedded!("/", "text/html; charset=utf-8", "index.html"),
    embedded!("/assets/page.css", "text/css; charset=utf-8", "page.css"),
    embedded!("/assets/main.js", "text/javascript; charset=utf-8", "main.js"),
    embedded!("/assets/live.js", "text/javascript; charset=utf-8", "live.js"),
    embedded!("/assets/view.js", "text/javascript; charset=utf-8", "view.js"),
    embedded!("/assets/elements.js", "text/javascript; charset=utf-8", "elements.js"),
    embedded!("/assets/flows.js", "text/javascript; charset=utf-8", "flows.js"),
    embedded!("/assets/pipeline.js", "text/javascript; charset=utf-8", "pipeline.js"),
    embedded!("/assets/letters.js", "text/javascript; charset=utf-8", "letters.js"),
    embedded!("/assets/chart.js", "text/javascript; charset=utf-8", "chart.js"),
    embedded!("/assets/sell.js", "text/javascript; charset=utf-8", "sell.js"),
    embedded!("/assets/texts.js", "text/javascript; charset=utf-8", "texts.js"),
    embedded!("/assets/icon.svg", "image/svg+xml", "icon.svg"),
    embedded!("/openapi.json", "application/json", "openapi.json"),
];

/// The file at this path; `None` if there is none.
pub fn at(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

impl File {
    /// The response with the file, or 304.
    pub fn answer(&self, head: &Parts) -> Answer {
        let mut response =
            content(head, self.media_type, Bytes::from_static(self.content.as_bytes()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}
