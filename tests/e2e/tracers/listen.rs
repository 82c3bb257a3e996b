//! `listen` against `ss` in the container's network namespace.

use std::{
    collections::BTreeSet,
    fs,
    process::{Child, Command},
};

use remora_tests::{Bed, Bundle, Trio, events::text, output, wait_for};
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
    })
    .with_act();
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
    let words = "listen=0.0.0.0:8101 listen=127.0.0.1:8102 bind=0.0.0.0:8103 bind=[::1]:8104 listen=[::1]:8105 \
        listen=127.0.0.1:8106 until=/tmp/close close close";
    let script =
        format!("/bin/act sockets {words} until=/tmp/end & nc -l -p 8107 >/dev/null & exec sleep 1000");
    let (bundle, mut child) = networked(&bed, "server", &script);
    agreed(&bed, &bundle, 7);
    assert_eq!(bed.metric("remora_listen_sockets{"), Some(7.0));
    // Two are closed; one ends with its process, which takes one connection.
    bundle.exec(&["/bin/sh", "-c", "touch /tmp/close; echo x | nc -w 1 127.0.0.1 8107"]);
    let left = agreed(&bed, &bundle, 4);
    for port in [8101, 8102, 8103, 8104] {
        assert!(left.iter().any(|s| s.contains(&format!(" {port} "))), "{left:?}");
    }
    // The rest is closed by exit.
    bundle.exec(&["/bin/touch", "/tmp/end"]);
    agreed(&bed, &bundle, 0);
    bundle.delete();
    child.wait().expect("failed to wait");
    bed.ended("server");
    assert!(rows(&bed, "server").is_empty(), "nothing listens when nothing runs");
    assert_eq!(bed.metric("remora_listen_sockets{"), Some(0.0));
    events(&bed.events().of_container("server").0);
}

fn events(events: &[Value]) {
    let of = |name: &str| {
        let mine = events.iter().filter(|e| text(e, "event.name") == name);
        let paths = ["network.transport", "network.local.address", "network.local.port", "process.comm"];
        mine.map(|e| paths.map(|p| text(e, p)).join(" ")).collect::<BTreeSet<_>>()
    };
    let set = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<BTreeSet<_>>();
    let listens = [
        "tcp 0.0.0.0 8101 act",
        "tcp 127.0.0.1 8102 act",
        "tcp ::1 8105 act",
        "tcp 127.0.0.1 8106 act",
        "tcp :: 8107 nc",
    ];
    assert_eq!(of("listen"), set(&listens));
    let datagram = ["udp 0.0.0.0 8103 act", "udp ::1 8104 act"];
    assert_eq!(of("bind"), set(&[&listens[..], &datagram].concat()));
    let mut listens = events.iter().filter(|e| text(e, "event.name") == "listen");
    assert!(listens.all(|e| e["listen"]["backlog"].as_u64() > Some(0)), "{events:?}");
}

#[test]
fn a_listener_outlives_the_process_that_made_it() {
    let mut bed = Bed::tracing("listen");
    bed.start();
    let script = "/bin/act sockets listen=0.0.0.0:8108 bind=127.0.0.1:8109 heir & exec sleep 1000";
    let (bundle, mut child) = networked(&bed, "heirs", script);
    let maker = |bed: &Bed| rows(bed, "heirs").first().map(|r| text(r, "process.pid"));
    // Nobody waits for it: a zombie has no program.
    let gone = |pid: String| fs::read_link(format!("/proc/{pid}/exe")).is_err().then_some(());
    wait_for("the end of who made them", || gone(maker(&bed)?));
    let ports: BTreeSet<String> = rows(&bed, "heirs").iter().map(|r| text(r, "network.local.port")).collect();
    assert_eq!(ports, ["8108", "8109"].iter().map(|s| (*s).to_owned()).collect());
    // The heir's end closes them; init, a sleep as well, is not ended by a signal from within.
    bundle.exec(&["/bin/killall", "sleep"]);
    wait_for("them to be closed", || rows(&bed, "heirs").is_empty().then_some(()));
    bundle.delete();
    child.wait().expect("failed to wait");
    bed.ended("heirs");
}

#[test]
fn failures_are_told_where_the_kernel_tells_them() {
    let mut bed = Bed::tracing("listen");
    bed.start();
    let words = "bind=127.0.0.1:8110 bind=127.0.0.1:8110 listen=192.0.2.1:8111 listen=[2001:db8::1]:8111";
    let (bundle, mut child) = networked(
        &bed,
        "failing",
        &format!("/bin/act sockets {words}; touch /tmp/done; exec /bin/sleep 1000"),
    );
    wait_for("all of it", || bundle.rootfs().join("tmp/done").exists().then_some(()));
    bundle.delete();
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("failing");
    let binds = bed.events().of_container("failing").named("bind");
    let chosen = bed.tracer("listen")["chosen"].to_string();
    let told = |program: &str| chosen.contains(&format!("\"{program}\""));
    assert!(told("bound_v4") || told("told_v4"), "{chosen}");
    let paths = ["network.local.address", "network.local.port", "bind.error"];
    let all: Vec<String> = binds.0.iter().map(|e| paths.map(|p| text(e, p)).join(" ")).collect();
    let v4 = &["127.0.0.1 8110 ", "127.0.0.1 8110 EADDRINUSE", "192.0.2.1 8111 EADDRNOTAVAIL"];
    let v6 = &["2001:db8::1 8111 EADDRNOTAVAIL"];
    let known = |program: &str, all: &'static [&'static str], least: usize| {
        if told(program) { all } else { &all[..least] }
    };
    let expected = [known("bound_v4", v4, 1), known("bound_v6", v6, 0)].concat();
    assert_eq!(all, expected, "{chosen}");
    assert_eq!(bed.metric("remora_listen_binds_total{"), Some(1.0));
    assert_eq!(bed.metric("remora_listen_bind_failures_total{"), Some(expected.len() as f64 - 1.0));
}

#[test]
fn trio() {
    let trio = Trio::run("listen", "/bin/act sockets listen=127.0.0.1:0 bind=127.0.0.1:0 listen=[::]:0");
    let events = trio.events();
    assert_eq!((events.named("bind").len(), events.named("listen").len()), (3, 2), "{events:?}");
    let ports = events.texts("network.local.port");
    assert!(ports.iter().all(|p| p.parse::<u16>().is_ok_and(|p| p > 0)), "the kernel's choice: {events:?}");
    assert_eq!(trio.metric("remora_listen_binds_total"), 3.0);
    assert_eq!(trio.metric("remora_listen_sockets"), 0.0);
}
