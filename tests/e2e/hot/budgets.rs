//! What tracers cost, and how much they may.

use remora_tests::{Bed, run, wait_for};
use serde_json::json;

use super::{Ticking, bed, refusal};

fn lost(bed: &Bed, id: &str) -> (u64, u64, u64) {
    let ledger = bed.container(id).expect("a container")["ledger"]["tracers"]["ticks"].clone();
    let number = |key: &str| ledger[key].as_u64().unwrap_or(0);
    (number("counted"), number("delivered"), number("lost_budget"))
}

#[test]
fn of_events() {
    let (bed, _) = bed();
    let mut bed = bed.with("tracers", "budget = { events = 50 }");
    bed.start();
    let (one, two) = (Ticking::new(&bed, "thrifty", 2_000), Ticking::new(&bed, "lavish", 20));
    wait_for("events over the budget", || (lost(&bed, "thrifty").2 > 1_000).then_some(()));
    // A bound of its own, larger than all there is.
    let set = run(&mut bed.remora(&["tracer", "budget", "ticks", "--events", "1000000"]));
    assert!(set.contains("\"events\":1000000"), "{set}");
    let before = lost(&bed, "thrifty");
    wait_for("events within the budget", || (lost(&bed, "thrifty").1 > before.1 + 3_000).then_some(()));
    one.stop(&bed);
    two.stop(&bed);
    let (counted, delivered, over) = lost(&bed, "thrifty");
    assert_eq!(counted, delivered + over);
    assert_eq!(lost(&bed, "lavish").2, 0, "a container within its budget lost something");
    let labels = [("container", "thrifty"), ("reason", "budget")];
    assert_eq!(bed.value("remora_events_lost_total", &labels), Some(over as f64), "{}", bed.get("/metrics"));
    bed.assert_empty();
}

#[test]
fn of_processor_time() {
    let (mut bed, _) = bed();
    bed.start();
    let ticking = Ticking::new(&bed, "costly", 5_000);
    run(&mut bed.remora(&["tracer", "budget", "ticks", "--processor-percent", "100000"]));
    run(&mut bed.remora(&["tracer", "budget", "ticks", "--processor-percent", "0.0001"]));
    let why =
        wait_for("the tracer to be stopped", || bed.tracer("ticks")["stopped"].as_str().map(str::to_owned));
    assert!(why.contains("% of a processor, 0.0001 % are allowed"), "{why}");
    let container = bed.container("costly").expect("it runs");
    assert!(container["ledger"]["changes"].to_string().contains("% of a processor"), "{container}");
    let labels = [("state", "stopped"), ("tracer", "ticks")];
    assert_eq!(bed.value("remora_tracer_state", &labels), Some(1.0));
    run(&mut bed.remora(&["tracer", "budget", "ticks"]));
    run(&mut bed.remora(&["tracer", "start", "ticks"]));
    assert_eq!(bed.container("costly").expect("it runs")["tracers"], json!(["ticks"]));
    ticking.stop(&bed);
    for (args, why) in [(["--processor-percent=-1"], "not 0 to"), (["--events=99999999999"], "not 0 to")] {
        let said = refusal(&bed, &[&["tracer", "budget", "ticks"][..], &args[..]].concat());
        assert!(said.contains(why), "{said}");
    }
    bed.assert_empty();
}

/// Counted while somebody asks, and kept when the object is replaced.
#[test]
fn cost_is_counted_while_somebody_asks() {
    let (mut bed, _) = bed();
    bed.start();
    let ticking = Ticking::new(&bed, "counted", 1_000);
    let labels = [("program", "tick"), ("tracer", "ticks")];
    let runs = |bed: &Bed| bed.value("remora_program_runs_total", &labels);
    assert_eq!(runs(&bed), Some(0.0), "counted though nobody asked");
    bed.get("/metrics?cost=true");
    let some = wait_for("runs", || runs(&bed).filter(|n| *n > 1_000.0));
    let seconds = bed.value("remora_program_run_seconds_total", &labels);
    assert!(seconds.is_some_and(|s| s > 0.0), "{seconds:?}");
    super::load(&bed, &remora_tests::fixture("ticks"));
    assert!(runs(&bed) >= Some(some), "the cost of the object before is forgotten");
    let shown = run(&mut bed.remora(&["tracers", "ticks", "--cost"]));
    assert!(shown.contains("NS A RUN") && shown.contains("tick"), "{shown}");
    ticking.stop(&bed);
    bed.assert_empty();
}
