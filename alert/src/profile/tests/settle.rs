use super::*;
use crate::profile::State;

#[test]
fn replicas_that_do_the_same_settle() {
    let mut bench = Bench::new();
    bench.serve(&["a", "b", "c"], 0, 19 * MINUTE);
    assert_eq!(bench.profile().state(), State::Learning);
    bench.serve(&["a", "b", "c"], 19 * MINUTE, HOUR);
    assert_eq!(bench.profile().state(), State::Converged);
    assert_eq!(bench.profile().pending.len(), 0);
    assert_eq!(bench.does(HOUR, "a", &open("web", "/srv/www/page1.html")), Verdict::Known);
}

#[test]
fn noise_does_not_settle() {
    let mut bench = Bench::new();
    for at in 0..2 * HOUR {
        bench.does(at, "a", &open("web", "/srv/x"));
        let word: String = format!("{at}").bytes().map(|b| char::from(b'a' + b - b'0')).collect();
        if at % 100 == 0 {
            bench.does(at, "a", &exec("web", &format!("/opt/{word}/bin/{word}"), &[]));
        }
    }
    assert_eq!(bench.profile().state(), State::Learning);
}

#[test]
fn names_that_are_made_up_are_no_noise() {
    let mut bench = Bench::new();
    for at in 0..HOUR {
        bench.does(
            at,
            "a",
            &open("web", &format!("/tmp/web-{:016x}/body", at.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        );
        bench.does(at, "a", &open("web", &format!("/proc/{}/stat", 1000 + at)));
        bench.does(at, "a", &exec("web", "/bin/sleep", &[&at.to_string()]));
    }
    assert_eq!((bench.profile().state(), bench.profile().entries()), (State::Converged, 6));
}

#[test]
fn the_start_is_learned_apart() {
    let mut bench = Bench::new();
    bench.does(0, "a", &exec("runc", "/bin/sh", &[]));
    bench.serve(&["a"], 1, HOUR);
    let mut phases = Vec::new();
    bench.profile().walk(&mut |phase, b, _| {
        if b.class == "executed" {
            phases.push((phase.name(), b.attribute()));
        }
    });
    assert_eq!(phases, [("start-up", "/bin/sh".to_owned()), ("start-up", "/usr/sbin/web".to_owned())]);
    // Known of the start, and a surprise later all the same.
    let mut other = bench.profiles.clone();
    let known = bench.novel(HOUR, "a", &exec("runc", "/bin/sh", &[]));
    std::mem::swap(&mut bench.profiles, &mut other);
    let never = bench.novel(HOUR, "a", &exec("runc", "/bin/bash", &[]));
    assert_eq!(known.score * 2.0, never.score);
}

#[test]
fn what_goes_on_is_no_surprise_at_the_start() {
    let mut bench = Bench::new();
    bench.serve(&["a"], 0, HOUR);
    for (i, name) in ["b", "c", "d"].into_iter().enumerate() {
        let at = HOUR + i as u64 * 100;
        assert_eq!(bench.does(at, name, &exec("runc", "/usr/sbin/web", &[])), Verdict::Known);
        bench.does(at + 1, name, &open("web", "/srv/www/page1.html"));
        bench.profiles.ended(name, (BEGIN + at + 50) * SECOND);
    }
    assert!(bench.profile().phases[0].course.converged.is_some());
    let at = 2 * HOUR;
    bench.does(at, "e", &exec("runc", "/usr/sbin/web", &[]));
    assert_eq!(bench.does(at, "e", &connect("web", "10.0.0.7", 5432)), Verdict::Known);
    bench.novel(at, "e", &exec("web", "/bin/sh", &[]));
}

#[test]
fn what_may_not_be_learned_is_not() {
    let mut bench = Bench::new();
    let miner = exec("web", "/tmp/miner", &[]);
    bench.serve(&["a"], 0, 10);
    assert_eq!(bench.see(10, "a", &miner, false), Verdict::Learning);
    let entries = bench.profile().entries();
    bench.serve(&["a"], 11, HOUR);
    bench.see(HOUR, "a", &miner, false);
    assert!(bench.profile().pending.len() == 0 && bench.profile().entries() > entries);
    assert!(!bench.profile().to_yaml().contains("miner"));
    bench.novel(HOUR, "a", &miner);
}

#[test]
fn the_same_events_make_the_same_file() {
    let run = || {
        let mut bench = Bench::new();
        bench.serve(&["a", "b", "c"], 0, HOUR);
        bench.novel(HOUR, "b", &exec("web", "/bin/sh", &["-c", "id"]));
        (bench.profile().to_yaml(), bench.profiles.iter().collect::<Vec<_>>())
    };
    assert_eq!(run(), run());
}
