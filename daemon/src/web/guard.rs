//! What every request must say and every answer does say: that other pages of the same browser have no business here.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};

use crate::api::problem;

/// Nothing inline, nothing from elsewhere, in no frame; and no text is ever taken for HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub async fn guard(request: Request, next: Next) -> Response {
    let mut response = match refusal(request.headers()) {
        None => next.run(request).await,
        Some(why) => problem(StatusCode::FORBIDDEN, why),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A name that somebody else's DNS leads here is not ours; the port may be another one's, as behind `ssh -L`.
fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let Some(host) = text(header::HOST).filter(|host| is_local(host)) else {
        return Some("this is for 127.0.0.1, [::1] and localhost only");
    };
    let foreign = text(header::ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") != Some(host));
    let site = text(HeaderName::from_static("sec-fetch-site"));
    // `none`: a person typed or opened the address.
    let elsewhere = site.is_some_and(|site| site != "same-origin" && site != "none");
    let opened = text(HeaderName::from_static("sec-fetch-mode")) == Some("navigate");
    (foreign || elsewhere && !opened).then_some("this is for remora's own page only")
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "[::1]", "localhost"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)));
        refusal(&pairs.collect()).is_some()
    }

    #[test]
    fn only_names_of_this_machine() {
        for host in ["127.0.0.1:9759", "localhost:1", "localhost", "[::1]:80", "[::1]"] {
            assert!(!refused(&[("host", host)]), "{host}");
        }
        for host in ["evil.example:9759", "127.0.0.1.evil.example", "::1", "localhost:x", "10.0.0.1", ""] {
            assert!(refused(&[("host", host)]), "{host}");
        }
        assert!(refused(&[]));
    }

    #[test]
    fn only_the_page_itself() {
        let host = ("host", "127.0.0.1:9759");
        assert!(!refused(&[host, ("origin", "http://127.0.0.1:9759"), ("sec-fetch-site", "same-origin")]));
        assert!(!refused(&[host, ("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")]));
        // A link on another page leads here, and that page learns nothing.
        assert!(!refused(&[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]));
        for origin in ["http://127.0.0.1:8000", "http://evil.example", "null", "https://127.0.0.1:9759"] {
            assert!(refused(&[host, ("origin", origin)]), "{origin}");
        }
        for site in ["same-site", "cross-site"] {
            assert!(refused(&[host, ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")]), "{site}");
        }
    }
}
