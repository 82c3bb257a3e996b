use super::*;
use crate::profile::State;

const ALL: [&str; 4] = ["a", "b", "c", "d"];

fn converged(containers: &[&str]) -> Bench {
    let mut bench = Bench::new();
    bench.serve(containers, 0, HOUR);
    assert_eq!(bench.profile().state(), State::Converged);
    bench
}

#[test]
fn one_poisoned_replica_of_four_never_teaches() {
    let mut bench = converged(&ALL);
    let shell = exec("web", "/bin/sh", &["-i"]);
    for day in 0..10 {
        let at = HOUR + day * DAY;
        for name in ALL {
            bench.does(at, name, &connect("web", "10.0.0.7", 5432));
        }
        bench.novel(at + 1, "a", &shell);
        bench.novel(at + 2, "a", &shell);
    }
    assert!(!bench.profile().to_yaml().split("waiting:").next().unwrap().contains("/bin/sh"));
    let second = bench.novel(HOUR + 9 * DAY + 5, "b", &shell);
    assert!(second.score > 0.0);
}

#[test]
fn one_that_was_poisoned_from_the_first_does_not_either() {
    let mut bench = Bench::new();
    let miner = connect("web", "203.0.113.7", 3333);
    for at in 0..HOUR {
        bench.serve(&ALL, at, at + 1);
        bench.does(at, "a", &miner);
    }
    assert_eq!(bench.profile().state(), State::Converged);
    assert_eq!(bench.does(HOUR, "a", &miner), Verdict::Known, "what it did all along is told by nobody");
    bench.novel(HOUR, "b", &miner);
}

#[test]
fn what_half_of_the_replicas_do_is_learned() {
    let mut bench = converged(&ALL);
    let cron = exec("web", "/usr/bin/rotate", &[]);
    let first = bench.novel(HOUR, "a", &cron);
    let second = bench.novel(HOUR + 1, "b", &cron);
    assert!(second.score < first.score, "{} {}", second.score, first.score);
    assert_eq!(bench.does(HOUR + 2, "c", &cron), Verdict::Known);
    assert_eq!(bench.does(HOUR + 3, "a", &cron), Verdict::Known);
}

#[test]
fn what_a_single_one_does_day_after_day_is_learned() {
    let mut bench = converged(&["a"]);
    let backup = exec("web", "/usr/bin/backup", &[]);
    for day in 0..3 {
        bench.novel(HOUR + day * DAY, "a", &backup);
    }
    assert_eq!(bench.does(HOUR + 3 * DAY, "a", &backup), Verdict::Known);
}

#[test]
fn replicas_that_ended_do_not_count() {
    let mut bench = converged(&ALL);
    for name in ["c", "d"] {
        bench.profiles.ended(name, (BEGIN + HOUR) * SECOND);
    }
    let job = exec("web", "/usr/bin/job", &[]);
    bench.novel(HOUR, "a", &job);
    bench.novel(HOUR, "b", &job);
    assert_eq!(bench.does(HOUR, "a", &job), Verdict::Known);
}
