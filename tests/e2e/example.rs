//! The tracer from outside of the tree, built and used as its README says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use remora_tests::{Bed, Bundle, build_dir, fixture, run, script, source, wait_for};
use serde_json::json;

/// The README's blocks of a kind, in order.
fn blocks(kind: &str) -> Vec<String> {
    let readme = fs::read_to_string(source("examples/tracer/README.md")).expect("no README");
    let all =
        readme.split("\n```").skip(1).step_by(2).filter_map(|b| b.strip_prefix(kind)?.strip_prefix('\n'));
    all.map(str::to_owned).collect()
}

/// Runs a block where the example's source is, with remora on the path.
fn follow(bed: &Bed, folder: &Path, block: &str) -> String {
    let path = std::env::var("PATH").expect("a path");
    let remora = format!(
        "exec {}/remora --config {} \"$@\"",
        build_dir().display(),
        bed.path("remora.toml").display()
    );
    script(&folder.join("remora"), &remora);
    let mut shell = Command::new("sh");
    shell.args(["-euc", &block.replace("/run/remora/api.sock", &bed.path("api.sock").display().to_string())]);
    shell
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("REMORA_INCLUDE", source("bpf"));
    run(&mut shell)
}

fn folder(bed: &Bed) -> PathBuf {
    let folder = bed.path("example");
    fs::create_dir(&folder).expect("failed to make a folder");
    fs::copy(source("examples/tracer/resets.bpf.c"), folder.join("resets.bpf.c")).expect("failed to copy");
    folder
}

#[test]
fn as_its_readme_says() {
    let bed = Bed::new();
    let folder = folder(&bed);
    let (blocks, shown) = (blocks("sh"), blocks("text"));
    let [build, check, load, refused, events, metrics, set] = &blocks[..] else { panic!("{blocks:?}") };
    let [described, event, metric] = &shown[..] else { panic!("{shown:?}") };
    assert!(build.starts_with("clang ") && check.contains("check --strict"), "{blocks:?}");
    if Path::new("/usr/bin/clang").exists() {
        follow(&bed, &folder, build);
    } else {
        // A machine of the tests' own has no compiler: the object was made by the same rule before.
        fs::copy(fixture("example_resets"), folder.join("resets.bpf.o")).expect("failed to copy");
    }
    assert_eq!(follow(&bed, &folder, check).trim_end(), described);
    // Opted in before there is such a tracer, with a parameter of its own.
    let script = "ip link set lo up; while [ ! -e /tmp/stop ]; do /bin/act resets 7001 7002; sleep 0.1; done";
    let bundle = Bundle::with(&bed, "reset", &["/bin/sh", "-c", script], |config| {
        config["annotations"]["io.remora.trace"] = "exec,resets".into();
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "network" }));
        for set in ["bounding", "effective", "permitted"] {
            let all = config["process"]["capabilities"][set].as_array_mut().expect("a list");
            all.push("CAP_NET_ADMIN".into());
        }
    })
    .with_act();
    let mut child = bundle.start();
    wait_for("the container to be in scope", || bed.container("reset"));
    let told = follow(&bed, &folder, load);
    for word in ["event reset", "remora_resets_received_total", "0 to 65535", "peer's port of which"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    follow(&bed, &folder, refused);
    let (_, event) = event.split_once(' ').expect("a time");
    let event = event.trim_end().trim_end_matches('…');
    wait_for(event, || follow(&bed, &folder, events).contains(event).then_some(()));
    assert!(follow(&bed, &folder, metrics).contains(metric), "{metric}");
    let seen = |port: &str| {
        let events = bed.events_of("reset").named("reset");
        events.only(|e| remora_tests::events::text(e, "network.peer.port") == port)
    };
    wait_for("resets of both peers", || (!seen("7001").is_empty() && !seen("7002").is_empty()).then_some(()));
    assert_eq!(seen("7001").first()["network"]["peer"]["address"], "127.0.0.1");
    run(&mut bed.remora(&["tracer", "set", "resets", "port=7002", "--container", "reset"]));
    follow(&bed, &folder, set); // for all; the container's own goes first
    let (one, two) = (seen("7001").len(), seen("7002").len());
    wait_for("more resets of one peer", || (seen("7002").len() > two + 2).then_some(()));
    // One may have been under way.
    assert!(seen("7001").len() <= one + 1, "the parameter is not heeded");
    fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("reset");
    let received = bed.value("remora_resets_received_total", &[("container", "reset")]).expect("a metric");
    assert!(received >= (one + two) as f64, "{received}");
    run(&mut bed.remora(&["tracer", "remove", "resets"]));
    bed.assert_empty();
}

#[test]
fn its_readme_shows_what_is_in_it() {
    let file = fs::read_to_string(source("examples/tracer/resets.bpf.c")).expect("no source");
    let parts = blocks("c");
    assert!(parts.len() > 5, "{parts:?}");
    for part in parts {
        assert!(file.contains(&part), "{part}");
    }
}
