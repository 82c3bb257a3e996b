//! Parameters: of a tracer, of a container, at its start and while it runs, checked by the tracer's description.

use remora_tests::{Bed, Events, run, wait_for};

use super::{Ticking, bed, refusal};

fn ticks(bed: &Bed, id: &str) -> Events {
    bed.events_of(id).named("tick")
}

/// Waits for a tick that is like this, later than all there are.
fn next(bed: &Bed, id: &str, what: &str, like: impl Fn(&serde_json::Value) -> bool) {
    let last = ticks(bed, id).0.last().map_or(0, |e| e["event"]["cursor"].as_u64().unwrap_or(0));
    wait_for(what, || {
        let events = ticks(bed, id);
        events.0.iter().any(|e| e["event"]["cursor"].as_u64() > Some(last) && like(e)).then_some(())
    });
}

#[test]
fn of_a_container_from_its_first_instruction_on() {
    let (mut bed, _) = bed();
    bed.start();
    let ticking = Ticking::with(&bed, "annotated", 500, |config| {
        config["annotations"]["io.remora.param.ticks.every"] = "10".into();
        config["annotations"]["io.remora.param.ticks.word"] = "hello".into();
        config["annotations"]["io.remora.param.ticks.nothing"] = "1".into();
        config["annotations"]["io.remora.param.ticks.times"] = "2".into();
        config["annotations"]["io.remora.param.nobody.x"] = "1".into();
    });
    let other = Ticking::new(&bed, "plain", 500);
    next(&bed, "annotated", "a tick", |_| true);
    next(&bed, "plain", "a tick of the other's", |e| e["tick"]["number"].as_u64() > Some(10));
    let notes = bed.container("annotated").expect("it runs")["ledger"]["notes"].to_string();
    for word in ["no parameter nothing", "times cannot be set for one container", "no tracer nobody"] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
    let wanted = ticking.stop(&bed);
    other.stop(&bed);
    let mine = ticks(&bed, "annotated");
    let numbers = mine.texts("tick.number");
    assert!(mine.texts("tick.word").iter().all(|w| w == "hello"), "{mine:?}");
    assert_eq!(numbers, (0..wanted).step_by(10).map(|n| n.to_string()).collect::<Vec<_>>());
    let theirs = ticks(&bed, "plain");
    assert!(theirs.texts("tick.word").iter().all(String::is_empty), "{theirs:?}");
    bed.assert_empty();
}

#[test]
fn while_it_runs() {
    let (mut bed, _) = bed();
    bed.start();
    let ticking = Ticking::new(&bed, "tuned", 200);
    let set = |args: &[&str]| run(&mut bed.remora(&[&["tracer", "set", "ticks"], args].concat()));
    set(&["word=one", "--container", "tuned"]);
    next(&bed, "tuned", "its own word", |e| e["tick"]["word"] == "one");
    set(&["word=all", "every=1"]);
    next(&bed, "tuned", "its own word still", |e| e["tick"]["word"] == "one");
    // One that is fixed while the object is loaded: the object is replaced by itself.
    set(&["times=3"]);
    next(&bed, "tuned", "a multiple", |e| {
        e["tick"]["number"].as_u64().is_some_and(|n| n % 3 == 0) && e["tick"]["word"] == "one"
    });
    assert_eq!(bed.tracer("ticks")["set"], serde_json::json!({ "every": 1, "times": 3, "word": "all" }));
    ticking.stop(&bed);
    // What is set holds for containers to come, and over a restart.
    bed.stop();
    bed.start();
    let later = Ticking::new(&bed, "later", 200);
    next(&bed, "later", "the word of all", |e| e["tick"]["word"] == "all");
    later.stop(&bed);
    let numbers = ticks(&bed, "later").texts("tick.number");
    assert!(numbers.iter().all(|n| n.parse::<u64>().expect("a number") % 3 == 0), "{numbers:?}");
    bed.assert_empty();
}

#[test]
fn what_cannot_be_set_is_refused_by_name() {
    let (mut bed, _) = bed();
    bed.start();
    let ticking = Ticking::new(&bed, "refusing", 100);
    let cases: [(&[&str], &str); 9] = [
        (&["ticks", "nothing=1"], "no parameter nothing"),
        (&["ticks", "every=0"], "parameter every is 0, not 1 to 1000"),
        (&["ticks", "every=1001"], "parameter every is 1001, not 1 to 1000"),
        (&["ticks", "every=some"], "parameter every is \"some\", no number"),
        (&["ticks", "word=longer than it may"], "a text of at most 11 bytes"),
        (&["ticks", "times=2", "--container", "refusing"], "times cannot be set for one container"),
        (&["ticks", "every=2", "--container", "nobody"], "no container nobody"),
        (&["nobody", "every=2"], "no tracer nobody"),
        (&["ticks", "every"], "is not NAME=VALUE"),
    ];
    for (args, why) in cases {
        let said = refusal(&bed, &[&["tracer", "set"], args].concat());
        assert!(said.contains(why), "{args:?}: {said}");
    }
    assert_eq!(bed.tracer("ticks")["set"], serde_json::json!({}));
    ticking.stop(&bed);
}
