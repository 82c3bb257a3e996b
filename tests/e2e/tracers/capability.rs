//! Capabilities.

use std::collections::{BTreeMap, BTreeSet};

use remora_tests::{Bed, Bundle, Events, Trio, events::text};
use serde_json::{Value, json};

/// What is tried, the capability that it takes, and the file of the program that tries: all busybox's.
const TRIED: [(&str, &str); 3] = [
    ("chown 5 /tmp/f", "CAP_CHOWN"),
    ("mknod /tmp/n c 1 3", "CAP_MKNOD"),
    ("chroot / true", "CAP_SYS_CHROOT"),
];

fn script(more: &str) -> String {
    let one = |(what, capability): &(&str, &str)| {
        format!("{what} 2>/dev/null && echo {capability} granted || echo {capability} denied; ")
    };
    format!(
        "rm -f /tmp/f /tmp/n; touch /tmp/f; {}{more} ls -R / >/dev/null 2>&1; true",
        TRIED.iter().map(one).collect::<String>()
    )
}

/// Lines of a capability and what became of it.
fn printed(output: &str) -> BTreeSet<(String, String)> {
    let pair = |l: &str| l.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    output.lines().filter_map(pair).collect()
}

fn told(events: &Events) -> BTreeSet<(String, String)> {
    let pair = |e: &Value| (text(e, "capability_use.capability"), text(e, "capability_use.verdict"));
    events.0.iter().map(pair).collect()
}

/// Checks by capability and outcome, of the metrics and of the table's rows.
fn counts(bed: &Bed, name: &str) -> [BTreeMap<(String, String), u64>; 2] {
    let series = bed.series("remora_capability_checks_total").into_iter();
    let label = |s: &remora_tests::bed::Series, l: &str| s.label(l).unwrap_or_default().to_owned();
    let series = series.filter(|s| s.label("container") == Some(name));
    let series = series.map(|s| ((label(&s, "capability"), label(&s, "verdict")), s.value as u64)).collect();
    let table = bed.json(&format!("/v1/containers/{name}/tables/capabilities"));
    let mut rows = BTreeMap::new();
    for row in table["rows"].as_array().unwrap_or_else(|| panic!("{table}")) {
        let key = (text(row, "capabilities.capability"), text(row, "capabilities.verdict"));
        *rows.entry(key).or_default() += row["capabilities"]["checks"].as_u64().expect("a number");
    }
    [series, rows]
}

#[test]
fn what_is_denied_fails_and_what_is_granted_works() {
    let trio = Trio::run("capability", &script(""));
    let events = trio.events();
    let expected = printed(&trio.printed[0]);
    assert_eq!(expected.len(), TRIED.len(), "{}", trio.printed[0]);
    let told = told(&events);
    assert!(told.is_superset(&expected), "{told:?} lacks some of {expected:?}");
    assert!(expected.contains(&("CAP_CHOWN".into(), "granted".into())), "{expected:?}");
    assert!(expected.contains(&("CAP_MKNOD".into(), "denied".into())), "{expected:?}");
    for (_, capability) in TRIED {
        let mine = told.iter().filter(|(c, _)| c == capability).count();
        assert_eq!(mine, 1, "{capability} in {told:?}");
    }
    // Every mapping of memory comes with a check that nobody asked for.
    assert!(!told.iter().any(|(c, _)| c == "CAP_SYS_ADMIN"), "{told:?}");
    let chown = events.only(|e| text(e, "capability_use.capability") == "CAP_CHOWN");
    assert_eq!(chown.len(), 1);
    assert_eq!(text(chown.first(), "process.comm"), "chown");
    // All of busybox's names are names of one file, and its shell executes some of them in a fork of its own.
    assert!(
        ["sh", "chown", "busybox"].contains(&&*text(chown.first(), "process.executable.name")),
        "{chown:?}"
    );
    assert!(text(chown.first(), "capability_use.syscall").contains("chown"));
    let [series, rows] = counts(&trio.bed, "this");
    assert_eq!(series, rows, "metrics left, table right");
    assert_eq!(series[&("CAP_MKNOD".to_owned(), "denied".to_owned())], 1);
    assert_eq!(trio.metric("remora_capability_rows"), events.len() as f64);
}

#[test]
fn capabilities_of_the_bundle_and_of_a_user_namespace() {
    let mut bed = Bed::tracing("capability");
    bed.start();
    let mount = "mkdir /tmp/m; mount -t tmpfs tmpfs /tmp/m 2>/dev/null && echo CAP_SYS_ADMIN granted || \
        echo CAP_SYS_ADMIN denied;";
    let all = ["CAP_CHOWN", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_SYS_ADMIN"];
    for (name, capabilities) in [("rich", &all[..]), ("poor", &[])] {
        let bundle = Bundle::with(&bed, name, &["/bin/sh", "-c", &script(mount)], |config| {
            config["annotations"]["io.remora.trace"] = "capability".into();
            config["process"]["capabilities"] =
                json!({ "bounding": capabilities, "effective": capabilities, "permitted": capabilities });
        });
        let expected = printed(&bundle.run());
        drop(bundle);
        bed.ended(name);
        let verdict = if name == "rich" { "granted" } else { "denied" };
        assert_eq!(expected, all.iter().map(|c| ((*c).to_owned(), verdict.to_owned())).collect());
        let mine = told(&bed.events_of(name)).into_iter().filter(|(c, _)| all.contains(&c.as_str()));
        assert_eq!(mine.collect::<BTreeSet<_>>(), expected);
    }
    let inner = "unshare -U -r chroot / true && echo done";
    // To map root takes the capability to give files capabilities.
    let bundle = Bundle::with(&bed, "nested", &["/bin/sh", "-c", inner], |config| {
        config["annotations"]["io.remora.trace"] = "capability".into();
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set].as_array_mut().expect("a set").push("CAP_SETFCAP".into());
        }
    });
    assert_eq!(bundle.run().trim(), "done");
    drop(bundle);
    bed.ended("nested");
    let chroot = bed.events_of("nested").only(|e| text(e, "capability_use.capability") == "CAP_SYS_CHROOT");
    assert_eq!(chroot.texts("capability_use.user_namespace"), ["true"], "{chroot:?}");
    assert_eq!(chroot.texts("capability_use.verdict"), ["granted"]);
}
