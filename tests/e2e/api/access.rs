//! Who is let in, and what is bounded.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    process::Command,
    time::{Duration, Instant},
};

use remora_tests::{Bed, Bundle, Events, output, patience, wait_for};
use serde_json::Value;

use super::{head, open};

/// Group that the socket is given to.
const GROUP: (&str, u32) = ("daemon", 1);

/// curl as a user of these groups; status and body.
fn curl(bed: &Bed, user: u32, groups: &[u32], args: &[&str]) -> (u16, String) {
    let mut curl = Command::new("setpriv");
    let list: Vec<String> = groups.iter().map(u32::to_string).collect();
    let groups =
        if list.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={}", list.join(",")) };
    curl.args([format!("--reuid={user}"), "--regid=65534".to_owned(), groups, "curl".to_owned()]);
    curl.args(["--silent", "--max-time", "30", "--write-out", "\n%{http_code}", "--unix-socket"]);
    let answer = output(curl.arg(bed.path("api.sock")).args(args));
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let (body, status) = answer.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

#[test]
fn the_group_reads_others_do_not_and_root_alone_writes() {
    let mut bed = Bed::cold().with("api", &format!("group = \"{}\"", GROUP.0));
    bed.start();
    fs::set_permissions(bed.path(""), fs::Permissions::from_mode(0o755)).expect("failed to chmod");
    let bundle = Bundle::new(&bed, "kept", "exec", &["/bin/sleep", "1000"]);
    let mut child = bundle.start();
    wait_for("the container to run", || bed.container("kept"));
    let before =
        (bed.json("/v1/tracers/exec")["set"].clone(), bed.json("/v1/containers/kept")["tracers"].clone());
    let reads =
        ["/v1/containers", "/v1/tracers", "/v1/events?replay=true", "/v1/topology", "/v1/status", "/metrics"];
    for target in reads {
        let url = format!("http://localhost{target}");
        assert_eq!(curl(&bed, 65534, &[GROUP.1], &[&url]).0, 200, "{target}");
        assert_eq!(curl(&bed, 65534, &[], &[&url]).0, 0, "{target} is open to everybody");
        assert_eq!(curl(&bed, 65534, &[2], &[&url]).0, 0, "{target} is open to another group");
    }
    let document = bed.json("/v1/openapi.json");
    let mut writes = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path.replace("/containers/{id}", "/containers/kept").replace("{name}", "exec");
        for method in item
            .as_object()
            .expect("operations")
            .keys()
            .filter(|m| !["get", "parameters"].contains(&m.as_str()))
        {
            let url = format!("http://localhost{path}");
            let method = method.to_uppercase();
            let args = ["--request", &method, "--data-binary", "{}", &url];
            let (status, body) = curl(&bed, 65534, &[GROUP.1], &args);
            assert_eq!(status, 403, "{method} {path}: {body}");
            let problem: Value = serde_json::from_str(&body).expect("not JSON");
            assert!(problem["detail"].as_str().is_some_and(|d| d.contains("user 65534")), "{problem}");
            assert_eq!(curl(&bed, 65534, &[], &args).0, 0, "{method} {path} is open to everybody");
            writes += 1;
        }
    }
    assert!(writes >= 11, "{writes}");
    let after =
        (bed.json("/v1/tracers/exec")["set"].clone(), bed.json("/v1/containers/kept")["tracers"].clone());
    assert_eq!(before, after);
    drop(bundle);
    child.wait().expect("failed to wait");
}

#[test]
fn what_a_page_from_elsewhere_asks_is_refused() {
    let port = TcpListener::bind("127.0.0.1:0").expect("no port").local_addr().expect("an address").port();
    let mut bed = Bed::cold().with("api", &format!("metrics_listen = \"127.0.0.1:{port}\""));
    bed.start();
    let ask = |headers: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(headers.iter().flat_map(|h| ["--header", h]));
        curl.args(["--silent", "--include", "--max-time", "30", &format!("http://127.0.0.1:{port}/metrics")]);
        String::from_utf8_lossy(&output(&mut curl).stdout).into_owned()
    };
    let own = format!("Origin: http://127.0.0.1:{port}");
    for good in [vec![], vec!["Host: localhost"], vec![own.as_str(), "Sec-Fetch-Site: same-origin"]] {
        let answer = ask(&good);
        assert!(answer.starts_with("HTTP/1.1 200"), "{good:?}: {answer}");
        assert!(!answer.to_lowercase().contains("access-control-allow"), "{answer}");
    }
    let bad = [
        vec!["Host: rebound.example"],
        vec!["Origin: http://evil.example"],
        vec!["Origin: null"],
        vec!["Sec-Fetch-Site: cross-site"],
        vec!["Host: rebound.example", "Origin: http://rebound.example", "Sec-Fetch-Site: same-origin"],
    ];
    for headers in &bad {
        let answer = ask(headers);
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("application/problem+json"),
            "{headers:?}: {answer}"
        );
        assert!(!answer.contains("remora_build_info"), "{answer}");
    }
    // Nor through a proxy of somebody's to the socket.
    let mut stream =
        open(&bed, "/v1/containers", &["Host: localhost".into(), "Origin: http://evil.example".into()]);
    assert!(head(&mut stream).starts_with("HTTP/1.0 403"));
    assert_eq!(bed.value("remora_api_dropped_total", &[("reason", "foreign")]), Some(bad.len() as f64 + 1.0));
}

#[test]
fn requests_are_bounded_in_size_and_time() {
    let bed = Bed::new();
    let connect = || {
        let stream = UnixStream::connect(bed.path("api.sock")).expect("failed to connect");
        stream.set_read_timeout(Some(patience())).expect("failed to set a timeout");
        stream
    };
    // A head without an end, and one that is too large.
    let mut slow = connect();
    slow.write_all(b"GET /v1/containers HTTP/1.1\r\nHost: x\r\n").expect("failed to write");
    let begun = Instant::now();
    let mut answer = String::new();
    let _ = slow.read_to_string(&mut answer);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}: {answer}", begun.elapsed());
    let mut large = connect();
    let _ = write!(large, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(head(&mut large).starts_with("HTTP/1.1 431"), "a megabyte of head is taken");
    // Bodies: an object of 17 MiB, and a wish of 1 MiB.
    let object = bed.path("large");
    fs::write(&object, vec![0; 17 << 20]).expect("failed to write");
    for target in ["/v1/tracers", "/v1/containers"] {
        let data = format!("@{}", object.display());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--write-out", "%{http_code}", "--output", "/dev/null", "--unix-socket"]);
        curl.arg(bed.path("api.sock")).args(["--data-binary", &data, &format!("http://localhost{target}")]);
        assert_eq!(String::from_utf8_lossy(&output(&mut curl).stdout), "413", "{target}");
    }
    let long = format!("/v1/events?replay=true&where={}", "a".repeat(5000));
    let mut stream = open(&bed, &long, &[]);
    assert!(head(&mut stream).starts_with("HTTP/1.0 400"));
    assert_eq!(bed.get("/healthz"), "ok\n");
}

#[test]
fn who_does_not_read_is_dropped_and_counted() {
    let mut bed =
        Bed::cold().with("limits", "history_bytes = \"64MiB\"").with("tracers", "preload = [\"file\"]");
    bed.start();
    let script = "i=0; while [ $i -lt 20000 ]; do : </etc/passwd; i=$((i+1)); done";
    let bundle = Bundle::new(&bed, "talk", "file", &["/bin/sh", "-c", script]);
    // One that never reads, and one that does.
    let silent = open(&bed, "/v1/events?follow=true&replay=true", &[]);
    let count = || bed.value("remora_api_dropped_total", &[("reason", "slow")]).expect("a count");
    assert_eq!(count(), 0.0);
    bundle.run();
    drop(bundle);
    let counts = bed.ended("talk")["ledger"]["tracers"]["file"].clone();
    wait_for("the reader to be dropped", || (count() == 1.0).then_some(()));
    let all = Events::parse(&bed.get("/v1/events?replay=true"));
    assert_eq!(Some(all.of_container("talk").len() as u64), counts["delivered"].as_u64());
    assert!(all.len() > 4000, "{}: the socket holds as much", all.len());
    drop(silent);
}

#[test]
fn root_is_let_in_beside_a_crowd() {
    let mut bed = Bed::cold().with("api", &format!("group = \"{}\"", GROUP.0));
    bed.start();
    fs::set_permissions(bed.path(""), fs::Permissions::from_mode(0o755)).expect("failed to chmod");
    // 400 streams of one user of the group, each of which stays.
    let script = "import socket, sys, time\n\
                  all = []\n\
                  for i in range(400):\n\
                  \x20   s = socket.socket(socket.AF_UNIX); all.append(s); s.connect(sys.argv[1])\n\
                  \x20   try: s.send(b'GET /v1/events?follow=true HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n\
                  \x20   except OSError: pass\n\
                  open(sys.argv[2], 'w').close()\n\
                  time.sleep(1000)\n";
    let ready = bed.path("ready");
    fs::create_dir(&ready).expect("failed to make a folder");
    fs::set_permissions(&ready, fs::Permissions::from_mode(0o777)).expect("failed to chmod");
    let mut crowd = Command::new("python3");
    crowd.args(["-c", script]).arg(bed.path("api.sock")).arg(ready.join("yes")).uid(65534).gid(GROUP.1);
    let mut crowd = crowd.spawn().expect("failed to start python3");
    wait_for("the crowd", || ready.join("yes").exists().then_some(()));
    assert_eq!(bed.get("/healthz"), "ok\n");
    assert!(bed.value("remora_api_dropped_total", &[("reason", "busy")]) >= Some(100.0));
    crowd.kill().expect("failed to kill");
    crowd.wait().expect("failed to wait");
    wait_for("room again", || {
        (curl(&bed, 65534, &[GROUP.1], &["http://localhost/healthz"]).0 == 200).then_some(())
    });
}

#[test]
fn a_slow_scraper_is_not_waited_for() {
    let port = TcpListener::bind("127.0.0.1:0").expect("no port").local_addr().expect("an address").port();
    let mut bed = Bed::cold().with("api", &format!("metrics_listen = \"127.0.0.1:{port}\""));
    bed.start();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("failed to connect");
    stream.set_read_timeout(Some(patience())).expect("failed to set a timeout");
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").expect("failed to write");
    let begun = Instant::now();
    let _ = stream.read_to_end(&mut Vec::new());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
