//! The page's files, as they are in the binary: each packed by gzip when the binary was built.

use axum::{
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use crate::api::problem;

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What gzip puts before and behind the deflated bytes, where there is no name: nothing but checksum and length vary.
const HEAD: usize = 10;
const TAIL: usize = 8;

pub async fn file(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let name = if uri.path() == "/" { "index.html" } else { &uri.path()[1..] };
    let Some((_, packed)) = PAGE.iter().find(|(n, _)| *n == name) else {
        return problem(StatusCode::NOT_FOUND, "there is no such page");
    };
    if method != Method::GET && method != Method::HEAD {
        return problem(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done with it");
    }
    let etag = etag(packed);
    // Asked about anew each time, so that a page never stays behind its daemon.
    let cached = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::VARY, "Accept-Encoding".to_owned()),
    ];
    let says =
        |name, what: &str| headers.get(name).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains(what));
    if says(header::IF_NONE_MATCH, &etag) {
        return (StatusCode::NOT_MODIFIED, cached).into_response();
    }
    let kind = [(header::CONTENT_TYPE, content_type(name))];
    if says(header::ACCEPT_ENCODING, "gzip") {
        return (cached, kind, [(header::CONTENT_ENCODING, "gzip")], *packed).into_response();
    }
    (cached, kind, unpack(packed)).into_response()
}

/// Checksum and length, which gzip keeps.
fn etag(packed: &[u8]) -> String {
    let tail = &packed[packed.len().saturating_sub(TAIL)..];
    tail.iter().fold("\"".to_owned(), |text, byte| format!("{text}{byte:02x}")) + "\""
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    let deflated = packed.get(HEAD..packed.len().saturating_sub(TAIL)).unwrap_or_default();
    miniz_oxide::inflate::decompress_to_vec(deflated).unwrap_or_default()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a person waits for over a slow line, all files together.
    const BUDGET: usize = 80 << 10;

    #[test]
    fn the_page_is_whole_and_light() {
        let names: Vec<&str> = PAGE.iter().map(|(name, _)| *name).collect();
        for name in ["app.js", "icon.svg", "index.html", "style.css"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(PAGE.iter().map(|(_, packed)| packed.len()).sum::<usize>() < BUDGET);
        for (name, packed) in PAGE {
            let plain = unpack(packed);
            let length = u32::from_le_bytes(packed[packed.len() - 4..].try_into().unwrap());
            assert_eq!(plain.len(), length as usize, "{name}");
            assert_ne!(content_type(name), "application/octet-stream", "{name}");
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere_or_inline() {
        let html = PAGE.iter().find(|(name, _)| *name == "index.html").unwrap().1;
        let html = String::from_utf8(unpack(html)).unwrap();
        assert!(!html.contains("://") && !html.contains("<style") && !html.contains("style="), "{html}");
        assert!(html.matches("<script").count() == html.matches("<script src=\"").count(), "{html}");
    }
}
