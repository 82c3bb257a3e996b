//! What a tracer may say of itself, and what becomes of it: events, alternatives, cgroups, metrics, parameters.

use std::process::Child;

use remora_tests::{Bed, Bundle, events::text, fixture, output, run, wait_for};
use serde_json::{Value, json};

/// What the golden fixture's own members are shown as, to the byte.
const GOLDEN: &str = concat!(
    r#""golden":{"when":"@","nanoseconds":1.5,"microseconds":0.25,"bytes":5000000000,"error":"EACCES","#,
    r#""signal":"SIGTERM","mode":"0644","dev":"8:3","v4":"192.0.2.1","v6":"2001:db8::1","mapped":"192.0.2.7","#,
    r#""peer":{"port":443},"u8":255,"s16":-300,"s64":-9223372036854775808,"u64":18446744073709551615,"#,
    r#""yes":true,"no":false,"inner":{"least":-1,"most":65535},"colour":"blue","negative":"infrared","#,
    r#""unnamed":"5","restart":"HRTIMER_RESTART","flags":"one|four|0x10","text":"sh","full":"full","there":1,"#,
    r#""whole":"a \"whole\"\n","cut":"short","cut_truncated":true,"args":["/bin/ec"],"args_truncated":true,"#,
    r#""path":"/usr/bin/ls","empty":""}}"#
);

#[test]
fn every_kind_of_member_is_shown() {
    let bed =
        Bed::tracing("golden").with("tracers", "params = { golden = { limit = 7 } }").with_fixture("golden");
    let mut bed = bed;
    bed.start();
    Bundle::new(&bed, "golden", "golden", &["/bin/echo", "a", "b"]).run();
    bed.ended("golden");
    let lines = bed.get("/v1/events?replay=true");
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let event: Value = serde_json::from_str(&lines).expect("not JSON");
    let golden = GOLDEN.replace('@', &text(&event, "time"));
    let at = lines.find(r#""golden":{"#).unwrap_or_else(|| panic!("no golden members in {lines}"));
    assert_eq!(lines[at..].trim_end(), golden);
    assert_eq!(event["place"]["at"], json!({ "x": 5 }));
    let process = &event["process"];
    assert_eq!(
        (&process["vpid"], &process["comm"], &process["user_id"]),
        (&1.into(), &"echo".into(), &0.into())
    );
    bed.assert_empty();
}

#[test]
fn check_describes_a_tracer() {
    let bed = Bed::cold();
    bed.write_config();
    let object = fixture("golden");
    let described = run(bed.remora(&["check", "--strict", "--json"]).arg(&object));
    let described: Value = serde_json::from_str(&described).expect("not JSON");
    assert_eq!(described["chosen"], json!(["golden"]));
    assert_eq!(
        described["params"],
        json!([{ "name": "limit", "help": "bytes of arguments reported", "per_container": false, "default": 8, "min": 1, "max": 64 }])
    );
    let fields = described["events"][0]["fields"].as_array().expect("fields");
    let field = |name: &str| fields.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let expected = json!({ "name": "golden.colour", "type": "enum", "help": "by name", "optional": false, "feature": true });
    assert_eq!(*field("golden.colour"), expected);
    assert_eq!(field("golden.flags")["type"], "flags");
    assert_eq!(field("golden.zero")["optional"], true);
    assert_eq!(field("golden.error")["optional"], true);
    assert!(fields.iter().all(|f| f["name"] != "golden._hidden"), "{described}");
}

#[test]
fn the_first_alternative_this_kernel_takes_is_used() {
    let bed = Bed::of("oneof");
    let bundle = Bundle::new(&bed, "oneof", "oneof", &["/bin/sh", "-c", "/bin/true; exec /bin/sleep 1000"]);
    let (mut child, _) = running(&bundle);
    wait_for("three execs", || (bed.metric("remora_oneof_execs_total{")? == 3.0).then_some(()));
    let tracer = bed.tracer("oneof");
    assert_eq!(tracer["chosen"], json!(["second"]), "{tracer}");
    assert_eq!(tracer["state"], "attached");
    let refused = tracer["refused"].as_array().expect("a list");
    let mut names: Vec<&str> = refused.iter().filter_map(|r| r[0].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["best", "extra"], "{tracer}");
    assert!(
        refused.iter().all(|r| r[1].as_str().is_some_and(|why| why.contains("remora_no_such_hook"))),
        "{tracer}"
    );
    stop(bundle, &mut child);
    bed.assert_empty();
}

#[test]
fn a_group_of_which_nothing_loads_is_refused() {
    let bed = Bed::of("nothing");
    let bundle = Bundle::new(&bed, "nothing", "nothing,exec", &["/bin/true"]);
    bundle.run();
    let ended = bed.ended("nothing");
    let tracer = bed.tracer("nothing");
    assert_eq!(tracer["state"], "failed", "{tracer}");
    let problem = text(&tracer, "problem");
    for word in ["nothing.bpf.o", "way", "best", "second", "remora_no_such_hook_either"] {
        assert!(problem.contains(word), "{word} is not in {problem}");
    }
    assert!(ended["ledger"]["notes"].to_string().contains("nothing"), "{ended}");
    assert_eq!(bed.events().named("exec").len(), 1, "the other tracer works");
    bed.assert_empty();
}

/// Starts the container and waits until it runs.
fn running(bundle: &Bundle) -> (Child, u32) {
    let child = bundle.start();
    let pid = wait_for("the container to run", || bundle.pid());
    (child, pid)
}

fn stop(bundle: Bundle, child: &mut Child) {
    bundle.delete();
    child.wait().expect("failed to wait");
    drop(bundle);
}

/// A container with a loopback of its own, that waits.
fn networked(bed: &Bed, name: &str, trace: &str) -> Bundle {
    Bundle::with(bed, name, &["/bin/sleep", "1000"], |config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.push(json!({ "type": "network" }));
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set]
                .as_array_mut()
                .expect("a list")
                .push("CAP_NET_ADMIN".into());
        }
        if !trace.is_empty() {
            config["annotations"]["io.remora.trace"] = trace.into();
        }
    })
}

fn ping(bundle: &Bundle, times: u32) {
    bundle.exec(&["/bin/ip", "link", "set", "lo", "up"]);
    for _ in 0..times {
        bundle.exec(&["/bin/ping", "-c", "1", "-s", "56", "127.0.0.1"]);
    }
}

#[test]
fn what_attaches_to_cgroups_attaches_to_the_containers_own() {
    let bed = Bed::of("packets");
    let (mine, other) = (networked(&bed, "mine", "packets"), networked(&bed, "other", ""));
    let (mut one, mut two) = (running(&mine).0, running(&other).0);
    ping(&other, 2);
    ping(&mine, 3);
    ping(&other, 2);
    let series = "remora_packets_echoes_total{";
    assert_eq!(bed.metric(series), Some(3.0), "{}", bed.get("/metrics"));
    // IP and ICMP headers, and the payload.
    assert_eq!(bed.metric("remora_packets_sent_bytes_total{"), Some(3.0 * (20.0 + 8.0 + 56.0)));
    let cgroup = bed.container("mine").expect("mine")["cgroup_id"].as_u64().expect("an id");
    let links: Vec<String> =
        bed.links().iter().filter_map(|l| Some(l.file_name()?.to_str()?.to_owned())).collect();
    let own: Vec<_> = links.iter().filter(|l| l.contains('@')).collect();
    assert!(own.len() == 1 && own[0].starts_with(&format!("sent@{cgroup}-")), "{links:?}");
    stop(mine, &mut one);
    bed.ended("mine");
    assert_eq!(bed.metric(series), Some(3.0), "kept for a while");
    wait_for("the cgroup's link to go", || {
        (!bed.links().iter().any(|l| l.to_string_lossy().contains('@'))).then_some(())
    });
    stop(other, &mut two);
    bed.assert_empty();
}

#[test]
fn connects_are_told_by_the_cgroups_own_program() {
    let bed = Bed::cold();
    bed.write_config();
    let checked = output(bed.remora(&["check"]).arg(fixture("connects")));
    if !checked.status.success() {
        // cgroup/connect4 knows no current cgroup before 5.15 or so; the tracer is refused, and says why.
        let why = String::from_utf8_lossy(&checked.stderr);
        assert!(why.contains("failed to load tracer") && why.contains("connects"), "{why}");
        return;
    }
    let bed = Bed::of("connects");
    let (mine, other) = (networked(&bed, "mine", "connects"), networked(&bed, "other", ""));
    let (mut one, mut two) = (running(&mine).0, running(&other).0);
    for bundle in [&other, &mine, &other] {
        bundle.exec(&["/bin/ip", "link", "set", "lo", "up"]);
        bundle.exec(&["/bin/sh", "-c", "nc 127.0.0.1 4711 </dev/null 2>/dev/null; true"]);
    }
    stop(mine, &mut one);
    bed.ended("mine");
    let events = bed.events();
    assert_eq!(events.texts("connect4.address"), ["127.0.0.1"], "{events:?}");
    assert_eq!(events.texts("connect4.port"), ["4711"]);
    assert_eq!(events.texts("container.name"), ["mine"]);
    stop(other, &mut two);
    bed.assert_empty();
}

/// Series of the numbers fixture, with labels behind the container's.
fn number(bed: &Bed, name: &str, container: &str, labels: &str) -> Option<f64> {
    let comma = if labels.is_empty() { "" } else { "," };
    bed.metric(&format!(
        "remora_numbers_{name}{{namespace=\"\",pod=\"\",container=\"{container}\"{comma}{labels}}}"
    ))
}

#[test]
fn metric_maps_of_every_kind() {
    let bed = Bed::of("numbers");
    let first = Bundle::new(
        &bed,
        "first",
        "numbers",
        &["/bin/sh", "-c", "/bin/true; /bin/true; exec /bin/sleep 1000"],
    );
    let (mut child, _) = running(&first);
    wait_for("four execs", || (number(&bed, "times_total", "first", "")? == 4.0).then_some(()));
    let value = |name: &str, labels: &str| number(&bed, name, "first", labels);
    for (program, execs) in [("sh", 1.0), ("true", 2.0), ("sleep", 1.0)] {
        let labels = format!("side=\"right\",program=\"{program}\"");
        assert_eq!(value("execs_total", &labels), Some(execs), "{program}\n{}", bed.get("/metrics"));
        assert_eq!(value("shares_total", &labels), Some(execs), "{program}");
    }
    assert_eq!(value("steps_total", ""), Some(4.0));
    assert_eq!(value("read_bytes_total", ""), Some(4000.0));
    assert_eq!(value("waited_seconds_total", ""), Some(1.0));
    assert_eq!(value("level", ""), Some(-4.0));
    // 1.5, 3, 4.5 and 6 ms; the bounds are powers of two of microseconds times 1.024.
    for (bound, below) in [
        ("0.001048576", 0.0),
        ("0.002097152", 1.0),
        ("0.004194304", 2.0),
        ("0.008388608", 4.0),
        ("+Inf", 4.0),
    ] {
        assert_eq!(value("latency_seconds_bucket", &format!("le=\"{bound}\"")), Some(below), "{bound}");
    }
    assert_eq!(value("latency_seconds_sum", ""), Some(0.015));
    assert_eq!(value("latency_seconds_count", ""), Some(4.0));
    assert_eq!(value("sizes_bucket", "le=\"2\""), Some(0.0));
    assert_eq!(value("sizes_bucket", "le=\"4\""), Some(4.0));
    assert_eq!(value("sizes_sum", ""), Some(12.0));
    assert!(!bed.get("/metrics").contains("untold"));
    stop(first, &mut child);
    bed.ended("first");
    assert_eq!(number(&bed, "steps_total", "first", ""), Some(4.0), "kept for a while");
    the_place_is_clean(&bed);
    bed.assert_empty();
}

/// The next container gets the same place, and nothing of what was counted there.
fn the_place_is_clean(bed: &Bed) {
    let second = Bundle::new(bed, "second", "numbers", &["/bin/sleep", "1000"]);
    let (mut child, _) = running(&second);
    wait_for("its exec", || (number(bed, "times_total", "second", "")? == 1.0).then_some(()));
    let series = bed.get("/metrics");
    let mine: Vec<&str> =
        series.lines().filter(|l| l.contains("container=\"second\"") && l.contains("program=")).collect();
    assert_eq!(mine.len(), 2, "{mine:?}");
    assert!(mine.iter().all(|l| l.contains("program=\"sleep\"") && l.ends_with(" 1")), "{mine:?}");
    assert_eq!(number(bed, "steps_total", "second", ""), Some(1.0));
    assert_eq!(number(bed, "latency_seconds_count", "second", ""), Some(1.0));
    assert_eq!(number(bed, "sizes_sum", "second", ""), Some(3.0));
    stop(second, &mut child);
    bed.ended("second");
}

#[test]
fn parameters_are_set_by_configuration() {
    let mut bed = Bed::tracing("numbers")
        .with("tracers", "params = { numbers = { step = 7 } }")
        .with_fixture("numbers");
    bed.start();
    let bundle = Bundle::new(&bed, "steps", "numbers", &["/bin/sleep", "1000"]);
    let (mut child, _) = running(&bundle);
    wait_for("its exec", || (number(&bed, "steps_total", "steps", "")? == 7.0).then_some(()));
    stop(bundle, &mut child);
    bed.ended("steps");
    bed.assert_empty();
}

#[test]
fn parameters_that_do_not_fit_are_refused_by_name() {
    let params = "params = { numbers = { step = 101 }, golden = { volume = 3 }, nowhere = { a = 1 } }";
    let mut bed = Bed::tracing("numbers,golden,exec")
        .with("tracers", params)
        .with_fixture("numbers")
        .with_fixture("golden");
    bed.start();
    let refusals =
        [("numbers", "parameter step is 101, not 1 to 100"), ("golden", "no parameter volume; it has limit")];
    for (name, why) in refusals {
        let tracer = bed.tracer(name);
        assert_eq!(tracer["state"], "failed", "{tracer}");
        assert!(text(&tracer, "problem").contains(why), "{tracer}");
        assert!(bed.log().contains(why), "{}", bed.log());
        assert!(run(&mut bed.remora(&["tracers"])).contains(why));
    }
    assert!(bed.log().contains("tracers.params.nowhere"), "{}", bed.log());
    let bundle = Bundle::new(&bed, "params", "numbers,exec", &["/bin/true"]);
    bundle.run();
    drop(bundle);
    let ended = bed.ended("params");
    assert!(ended["ledger"]["notes"].to_string().contains("parameter step"), "{ended}");
    assert_eq!(bed.events().named("exec").len(), 1, "the other tracer works");
    bed.assert_empty();
}
