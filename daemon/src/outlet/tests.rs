use std::time::Duration;

use hyper::{StatusCode, body::Bytes};

use super::address::{Place, parse};
use super::http::{Outcome, judge, plain};

#[test]
fn only_what_is_itself_at_fault_is_given_up() {
    let outcome = |status| judge(status, Some(Duration::from_secs(3)), Bytes::new(), plain);
    assert!(matches!(outcome(StatusCode::OK), Outcome::Taken(_)));
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED] {
        let Outcome::Later(why, Some(asked)) = outcome(status) else { panic!("{status}") };
        assert!(why.starts_with(status.as_str()) && asked == Duration::from_secs(3), "{why}");
    }
    assert!(matches!(outcome(StatusCode::BAD_REQUEST), Outcome::Refused(_)));
    let told = Bytes::from_static(b"why\x1bm\n");
    let Outcome::Refused(why) = judge(StatusCode::BAD_REQUEST, None, told, plain) else {
        panic!("not refused")
    };
    assert_eq!(why, "400 Bad Request: why\\u{1b}m");
}

#[test]
fn endpoints_are_addresses() {
    let tcp = |endpoint: &str| match parse(endpoint) {
        Ok((Place::Tcp(address), base)) => format!("{address}{base}"),
        other => panic!("{endpoint}: {other:?}"),
    };
    assert_eq!(tcp("http://127.0.0.1:4318"), "127.0.0.1:4318");
    assert_eq!(tcp("http://[::1]:4318/"), "[::1]:4318");
    assert_eq!(tcp("http://localhost:4318/otel/"), "127.0.0.1:4318/otel");
    for unix in ["unix:/run/otel.sock", "unix:///run/otel.sock"] {
        assert_eq!(parse(unix), Ok((Place::Unix("/run/otel.sock".into()), String::new())));
    }
    for wrong in [
        "",
        "https://127.0.0.1:4318",
        "http://collector:4318",
        "http://127.0.0.1",
        "127.0.0.1:4318",
        "unix:otel.sock",
        "http://127.0.0.1:4318/a b",
    ] {
        assert!(parse(wrong).is_err_and(|why| why.contains("unix:/PATH")), "{wrong}");
    }
}
