//! Requests that a browser makes for a page which is not ours. A page from anywhere may have the browser ask any address,
//! and a name that is made to mean this machine (DNS rebinding) makes that page look like one of its own.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header, uri::Authority},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use super::{connection::Counts, problem};

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// No browser comes here by itself; a proxy of somebody's may let it in.
    Unix,
    Loopback,
    /// Asks for a secret that no browser adds by itself, and has whatever name the network gives it.
    Beyond,
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is behind that door, for those who are no page of somebody else's.
pub fn guarded(router: Router, door: Door, counts: Arc<Counts>) -> Router {
    router.layer(from_fn_with_state((door, counts), check))
}

async fn check(State((door, counts)): State<(Door, Arc<Counts>)>, request: Request, next: Next) -> Response {
    match refusal(door, request.headers()) {
        None => next.run(request).await,
        Some(why) => {
            counts.foreign.fetch_add(1, Relaxed);
            problem(StatusCode::FORBIDDEN, why)
        }
    }
}

fn refusal(door: Door, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let (origin, site) = (text(header::ORIGIN), text(FETCH_SITE));
    let from_browser = origin.is_some() || site.is_some();
    let host = text(header::HOST).and_then(|h| h.parse::<Authority>().ok());
    let asks_for_us = host.as_ref().is_some_and(is_local);
    if (door == Door::Loopback || door == Door::Unix && from_browser) && !asks_for_us {
        return Some("the host that is asked for is not this machine: use localhost or its address");
    }
    if site.is_some_and(|s| s != "same-origin" && s != "none") {
        return Some("a page from elsewhere may not ask");
    }
    let same = |origin: &str| {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        rest.and_then(|r| r.parse::<Authority>().ok()).is_some_and(|o| Some(o) == host)
    };
    if origin.is_some_and(|o| !same(o)) {
        return Some("a page from elsewhere may not ask");
    }
    None
}

/// Whether it can mean nothing but this machine's loopback.
fn is_local(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(door: Door, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()));
        refusal(door, &headers.collect()).is_none()
    }

    #[test]
    fn programs_are_let_in() {
        for host in ["127.0.0.1:9464", "[::1]:9464", "localhost:9464", "LOCALHOST", "127.9.9.9"] {
            assert!(passes(Door::Loopback, &[("host", host)]), "{host}");
        }
        assert!(passes(Door::Unix, &[("host", "remora")]));
        assert!(passes(Door::Beyond, &[("host", "node7.example:9464")]));
    }

    #[test]
    fn a_name_that_means_this_machine_today_is_not_let_in() {
        for host in
            ["evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", "", "a b"]
        {
            assert!(!passes(Door::Loopback, &[("host", host)]), "{host}");
            assert!(!passes(Door::Unix, &[("host", host), ("sec-fetch-site", "same-origin")]), "{host}");
        }
        assert!(!passes(Door::Loopback, &[]));
    }

    #[test]
    fn pages_from_elsewhere_are_not_let_in() {
        let host = ("host", "127.0.0.1:9464");
        for door in [Door::Unix, Door::Loopback, Door::Beyond] {
            for origin in [
                "http://evil.example",
                "null",
                "http://127.0.0.1:80",
                "http://localhost:9464",
                "file://",
                "http://127.0.0.1:9464.evil.example",
                "http://x@127.0.0.1:9464",
            ] {
                assert!(!passes(door, &[host, ("origin", origin)]), "{door:?} {origin}");
            }
            for site in ["cross-site", "same-site", "?"] {
                assert!(!passes(door, &[host, ("sec-fetch-site", site)]), "{door:?} {site}");
            }
        }
    }

    #[test]
    fn our_own_page_is_let_in() {
        let own = [
            ("host", "127.0.0.1:9464"),
            ("origin", "http://127.0.0.1:9464"),
            ("sec-fetch-site", "same-origin"),
        ];
        for door in [Door::Unix, Door::Loopback, Door::Beyond] {
            assert!(passes(door, &own), "{door:?}");
        }
        assert!(passes(Door::Loopback, &[("host", "localhost:9464"), ("sec-fetch-site", "none")]));
    }
}
