//! `listen` against `ss` in the container's network namespace.

use std::{collections::BTreeSet, process::Child, process::Command};

use remora_tests::{Bed, Bundle, Trio, events::text, output, run, wait_for};
use serde_json::{Value, json};

/// Starts a container with a loopback of its own.
fn networked(bed: &Bed, name: &str, script: &str) -> (Bundle, Child) {
    let script = format!("ip link set lo up; {script}");
    let bundle = Bundle::with(bed, name, &["/bin/sh", "-c", &script], |config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "network" }));
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set]
                .as_array_mut()
                .expect("a list")
                .push("CAP_NET_ADMIN".into());
        }
        config["annotations"]["io.remora.trace"] = "listen".into();
    });
    let child = bundle.start();
    wait_for("the container to run", || bundle.pid());
    (bundle, child)
}

/// Protocol, address, port and process of each socket that listens or is bound, as the kernel tells them.
fn ss(bundle: &Bundle) -> BTreeSet<String> {
    let Some(pid) = bundle.pid() else { return BTreeSet::new() };
    let mut command = Command::new("nsenter");
    let said = output(command.args(["-t", &pid.to_string(), "-n", "ss", "-HOltunp"]));
    let line = |l: &str| {
        let words: Vec<&str> = l.split_whitespace().collect();
        let (address, port) = words.get(4)?.rsplit_once(':')?;
        let address = match address.trim_matches(['[', ']']) {
            "*" => "::",
            other => other,
        };
        let process = words.get(6)?.split_once("pid=")?.1.split(',').next()?;
        let backlog = if words[0] == "tcp" { words[3] } else { "" };
        Some(format!("{} {address} {port} {process} {backlog}", words[0]))
    };
    String::from_utf8_lossy(&said.stdout).lines().filter_map(line).collect()
}

fn rows(bed: &Bed, name: &str) -> Vec<Value> {
    let answer = bed.json(&format!("/v1/containers/{name}/tables/listening"));
    answer["rows"].as_array().cloned().unwrap_or_default()
}

/// The same of the table.
fn table(bed: &Bed, name: &str) -> BTreeSet<String> {
    let paths = [
        "network.transport",
        "network.local.address",
        "network.local.port",
        "process.pid",
        "listening.backlog",
    ];
    rows(bed, name).iter().map(|r| paths.map(|p| text(r, p)).join(" ")).collect()
}

/// Waits until the table says what ss says, of so many sockets.
fn agreed(bed: &Bed, bundle: &Bundle, sockets: usize) -> BTreeSet<String> {
    wait_for(&format!("{sockets} sockets"), || {
        let (kernel, mine) = (ss(bundle), table(bed, &bundle.id));
        (kernel == mine && mine.len() == sockets).then_some(mine)
    })
}

#[test]
fn what_listens_is_what_ss_says() {
    let mut bed = Bed::tracing("listen");
    bed.start();
    // A server that dies, one that is killed while its child goes on, and one for each protocol and family.
    let script = "nc -l -p 8101 >/dev/null & nc -lk -p 8102 -s 127.0.0.1 -e /bin/cat & \
        nc -u -l -p 8103 >/dev/null & udpsvd -h 127.0.0.1 8104 cat & httpd -f -p '[::1]:8105' & exec sleep 1000";
    let (bundle, mut child) = networked(&bed, "server", script);
    agreed(&bed, &bundle, 5);
    assert_eq!(bed.metric("remora_listen_sockets{"), Some(5.0));
    // One connection ends the first; the second goes on.
    bundle.exec(&["/bin/sh", "-c", "echo x | nc -w 1 127.0.0.1 8101; echo y | nc -w 1 127.0.0.1 8102; true"]);
    let left = agreed(&bed, &bundle, 4);
    assert!(left.iter().all(|s| !s.contains(" 8101 ")), "{left:?}");
    // Closed by exit, not by close().
    bundle.exec(&["/bin/sh", "-c", "killall -9 httpd udpsvd"]);
    let left = agreed(&bed, &bundle, 2);
    assert!(
        left.iter().any(|s| s.contains(" 8102 ")) && left.iter().any(|s| s.contains(" 8103 ")),
        "{left:?}"
    );
    let since = rows(&bed, "server");
    assert!(since.iter().all(|r| text(r, "listening.since").starts_with("20")), "{since:?}");
    bundle.delete();
    child.wait().expect("failed to wait");
    bed.ended("server");
    assert!(rows(&bed, "server").is_empty(), "nothing listens when nothing runs");
    assert_eq!(bed.metric("remora_listen_sockets{"), Some(0.0));
    events(&bed.events().of_container("server").0);
}

/// Five binds; three of them listen.
fn events(events: &[Value]) {
    let of = |name: &str| {
        let mine = events.iter().filter(|e| text(e, "event.name") == name);
        let paths = ["network.transport", "network.local.address", "network.local.port", "process.comm"];
        mine.map(|e| paths.map(|p| text(e, p)).join(" ")).collect::<BTreeSet<_>>()
    };
    let binds = of("bind");
    for expected in [
        "tcp :: 8101 nc",
        "tcp 127.0.0.1 8102 nc",
        "udp :: 8103 nc",
        "udp 127.0.0.1 8104 udpsvd",
        "tcp ::1 8105 httpd",
    ] {
        assert!(binds.contains(expected), "{expected} is not in {binds:?}");
    }
    let listens = of("listen");
    let expected = ["tcp 127.0.0.1 8102 nc", "tcp ::1 8105 httpd", "tcp :: 8101 nc"];
    assert_eq!(listens, expected.iter().map(|s| (*s).to_owned()).collect(), "{listens:?}");
    assert!(
        events
            .iter()
            .filter(|e| text(e, "event.name") == "listen")
            .all(|e| e["listen"]["backlog"].as_u64() > Some(0))
    );
}

#[test]
fn a_listener_outlives_the_process_that_made_it() {
    let mut bed = Bed::tracing("listen");
    bed.start();
    // The shell's child inherits the socket on descriptor 0 and goes on when the one that made it is gone.
    let script = "nc -lk -p 8106 -e /bin/sh -c 'sleep 1000' & \
        until nc -w 1 127.0.0.1 8106 </dev/null >/dev/null; do sleep 0.1; done; exec sleep 1000";
    let (bundle, mut child) = networked(&bed, "heirs", script);
    agreed(&bed, &bundle, 1);
    bundle.delete();
    child.wait().expect("failed to wait");
    bed.ended("heirs");
}

#[test]
fn failures_are_told_where_the_kernel_tells_them() {
    let mut bed = Bed::tracing("listen");
    bed.start();
    let script = "nc -u -l -p 8107 >/dev/null & until grep -q ':1FAB ' /proc/net/udp /proc/net/udp6; do sleep 0.05; done; \
        nc -u -l -p 8107; nc -l -p 8108 -s 192.0.2.1; true";
    let (bundle, mut child) = networked(&bed, "failing", script);
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("failing");
    let binds = bed.events().of_container("failing").named("bind");
    let told = bed.tracer("listen")["chosen"].as_array().expect("a list").contains(&"bound_v4".into());
    let errors: Vec<String> = binds.texts("bind.error").into_iter().filter(|e| !e.is_empty()).collect();
    if told {
        assert_eq!(errors, ["EADDRINUSE", "EADDRNOTAVAIL"], "{binds:?}");
        assert_eq!(bed.metric("remora_listen_bind_failures_total{"), Some(2.0));
    } else {
        assert_eq!((errors.len(), binds.len()), (0, 1), "those that succeed: {binds:?}");
        assert_eq!(bed.metric("remora_listen_bind_failures_total{"), Some(0.0));
    }
    assert_eq!(bed.metric("remora_listen_binds_total{"), Some(1.0));
}

#[test]
fn trio() {
    let trio = Trio::run("listen", "nc -w 1 -l -p 0 </dev/null; timeout 1 nc -u -l -p 0; true");
    let events = trio.events();
    assert_eq!(events.named("listen").len(), 1, "{events:?}");
    assert_eq!(events.named("bind").len(), 2, "{events:?}");
    let ports = events.texts("network.local.port");
    assert!(ports.iter().all(|p| p.parse::<u16>().is_ok_and(|p| p > 0)), "the kernel's choice: {events:?}");
    assert_eq!(trio.metric("remora_listen_binds_total"), 2.0);
    assert_eq!(trio.metric("remora_listen_sockets"), 0.0);
    let _ = run(&mut Command::new("true"));
}
