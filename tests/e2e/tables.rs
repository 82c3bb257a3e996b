//! Tables: rows of a container's entries, over the API and the command line, until a while after its end.

use std::process::Child;

use remora_tests::{Bed, Bundle, events::text, fixture, output, run, wait_for};
use serde_json::{Value, json};

/// The row of `echo`, to the byte.
const GOLDEN: &str = concat!(
    r#"{"programs":{"side":"right","program":"echo","execs":1,"fresh":1,"waited":0.25,"last":"@","#,
    r#""error":"EACCES","level":-1},"network":{"peer":{"address":"192.0.2.7","port":443}}}"#
);
const SCRIPT: &str = "/bin/true; /bin/echo x; /bin/true; exec /bin/sleep 1000";

fn rows(bed: &Bed, container: &str, table: &str) -> Value {
    bed.json(&format!("/v1/containers/{container}/tables/{table}"))
}

/// Starts the container and waits until all five of its execs have been refreshed.
fn started(bed: &Bed, name: &str) -> (Bundle, Child) {
    let bundle = Bundle::new(bed, name, "tables", &["/bin/sh", "-c", SCRIPT]);
    let child = bundle.start();
    wait_for("five execs", || {
        let answer = rows(bed, name, "programs");
        let fresh = answer["rows"].as_array()?.iter().map(|r| r["programs"]["fresh"].as_u64());
        (fresh.sum::<Option<u64>>()? == 5).then_some(())
    });
    (bundle, child)
}

fn assert_rows(bed: &Bed, name: &str) {
    let answer = bed.get(&format!("/v1/containers/{name}/tables/programs"));
    let value: Value = serde_json::from_str(&answer).expect("not JSON");
    assert_eq!(
        (&value["table"], &value["tracer"], &value["truncated"]),
        (&"programs".into(), &"tables".into(), &false.into())
    );
    assert_eq!(value["container"], json!({ "id": name, "name": name }));
    let rows = value["rows"].as_array().expect("rows");
    let row = |program: &str| {
        let found = rows.iter().find(|r| r["programs"]["program"] == program);
        found.unwrap_or_else(|| panic!("no row of {program} in {answer}"))
    };
    assert_eq!(rows.len(), 4, "{answer}");
    assert_eq!(row("true")["programs"]["execs"], 2);
    assert_eq!(row("true")["programs"].get("error"), None);
    let golden = GOLDEN.replace('@', &text(row("echo"), "programs.last"));
    assert!(answer.contains(&golden), "{golden} is not in {answer}");
    let shares = bed.json(&format!("/v1/containers/{name}/tables/shares"));
    let share = &shares["rows"][0]["shares"];
    assert_eq!((&share["kind"], &share["execs"], &share["mark"]), (&7.into(), &5.into(), &"mark".into()));
    assert_eq!(shares["rows"].as_array().map(Vec::len), Some(1), "{shares}");
}

#[test]
fn rows_are_shown_until_a_while_after_the_end() {
    let bed = Bed::of("tables");
    let (first, mut child) = started(&bed, "first");
    assert_rows(&bed, "first");
    let cut = bed.json("/v1/containers/first/tables/programs?limit=1");
    assert_eq!((cut["rows"].as_array().map(Vec::len), &cut["truncated"]), (Some(1), &true.into()));
    first.delete();
    child.wait().expect("failed to wait");
    bed.ended("first");
    assert_rows(&bed, "first");
    let cut = bed.json("/v1/containers/first/tables/programs?limit=1");
    assert_eq!((cut["rows"].as_array().map(Vec::len), &cut["truncated"]), (Some(1), &true.into()));
    // The next one gets the same place, and nothing of what was there.
    let (second, mut child) = started(&bed, "second");
    assert_rows(&bed, "second");
    second.delete();
    child.wait().expect("failed to wait");
    bed.ended("second");
    bed.assert_empty();
}

#[test]
fn tables_are_listed_and_unknown_ones_named() {
    let bed = Bed::of("tables");
    let (bundle, mut child) = started(&bed, "mine");
    let other = Bundle::new(&bed, "other", "exec", &["/bin/sleep", "1000"]);
    let mut running = other.start();
    wait_for("the other to run", || other.pid());
    let expected = json!([
        { "name": "programs", "help": "programs executed", "tracer": "tables", "flow": true },
        { "name": "shares", "help": "execs, counted on each CPU", "tracer": "tables", "flow": false },
    ]);
    assert_eq!(bed.json("/v1/containers/mine/tables"), expected);
    assert_eq!(
        bed.json("/v1/containers/other/tables").as_array().map(|t| t.iter().any(|t| t["tracer"] == "tables")),
        Some(false)
    );
    for (target, why) in [
        ("mine/tables/nothing", "no table nothing"),
        ("other/tables/programs", "kept by tracer tables, which container other does not have"),
        ("nobody/tables/programs", "container nobody is not known"),
        ("nobody/tables", "container nobody is not known"),
    ] {
        let problem = bed.json(&format!("/v1/containers/{target}"));
        assert_eq!(problem["status"], 404, "{problem}");
        assert!(text(&problem, "detail").contains(why), "{problem}");
    }
    assert_eq!(bed.json("/v1/containers/mine/tables/programs?limit=many")["status"], 400);
    faces(&bed);
    for (bundle, child) in [(bundle, &mut child), (other, &mut running)] {
        bundle.delete();
        child.wait().expect("failed to wait");
    }
    bed.ended("mine");
    bed.ended("other");
    bed.assert_empty();
}

/// The command line's tables.
fn faces(bed: &Bed) {
    let list = run(&mut bed.remora(&["table"]));
    assert!(list.lines().any(|l| l.starts_with("programs") && l.ends_with("programs executed")), "{list}");
    let table = run(&mut bed.remora(&["table", "programs", "mine"]));
    let head: Vec<&str> = table.lines().next().expect("a head").split_whitespace().collect();
    let expected = [
        "SIDE",
        "PROGRAM",
        "EXECS",
        "FRESH",
        "WAITED",
        "LAST",
        "PEER.ADDRESS",
        "PEER.PORT",
        "ERROR",
        "LEVEL",
    ];
    assert_eq!(head, expected, "what says nothing is left out");
    assert_eq!(table.lines().count(), 5, "{table}");
    let csv = run(&mut bed.remora(&["table", "programs", "mine", "--format", "csv", "--limit", "2"]));
    assert!(csv.starts_with("programs.side,programs.program,programs.execs,"), "{csv}");
    assert!(csv.lines().skip(1).all(|l| l.contains(",192.0.2.7,443,")) && csv.lines().count() == 3, "{csv}");
    let json = run(&mut bed.remora(&["table", "programs", "mine", "--format", "json"]));
    let json: Value = serde_json::from_str(&json).expect("not JSON");
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(4));
    let refused = output(&mut bed.remora(&["table", "nothing", "mine"]));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no table nothing"));
}

#[test]
fn check_describes_tables_and_runs_what_refreshes_them() {
    let bed = Bed::cold();
    bed.write_config();
    let described = run(bed.remora(&["check", "--strict", "--json"]).arg(fixture("tables")));
    let described: Value = serde_json::from_str(&described).expect("not JSON");
    let table = &described["tables"][0];
    assert_eq!((&table["name"], &table["flow"]), (&"programs".into(), &true.into()), "{described}");
    let fields = table["fields"].as_array().expect("fields");
    let execs = json!({ "name": "programs.execs", "type": "integer", "help": "how often it was executed",
        "optional": false, "feature": false, "counter": true });
    assert!(fields.contains(&execs), "{described}");
    assert!(fields.iter().all(|f| f["type"] != "index" && f["name"] != "programs.container"), "{described}");
    assert_eq!(described["chosen"], json!(["executed", "refreshed"]));
    assert_eq!(described["programs"][1]["refresh"], "tables_programs");
}
