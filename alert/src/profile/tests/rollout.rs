use super::*;
use crate::profile::State;

fn rolled_out() -> Bench {
    let mut bench = Bench::new();
    bench.serve(&["a", "b"], 0, HOUR);
    for (i, name) in ["c", "d"].into_iter().enumerate() {
        bench.serve(&[name], HOUR + i as u64 * 100, HOUR + i as u64 * 100 + 70);
    }
    bench.digest = "sha256:2";
    bench
}

#[test]
fn a_new_digest_knows_what_the_one_before_knew() {
    let mut bench = rolled_out();
    let old = Key { digest: "sha256:1".into(), ..bench.key() };
    let at = 2 * HOUR;
    let full = bench.profiles.clone();
    assert_eq!(bench.does(at, "new", &open("web", "/srv/www/page1.html")), Verdict::Known);
    assert_eq!(bench.does(at + 100, "new", &connect("web", "10.0.0.7", 5432)), Verdict::Known);
    assert_eq!(bench.profile().state(), State::Probation);
    let novelty = bench.novel(at + 101, "new", &exec("web", "/bin/sh", &[]));
    // The same of one that is not on probation.
    let mut before = Bench { profiles: full, digest: "sha256:1", ..Bench::new() };
    before.profiles.ended("b", (BEGIN + at) * SECOND);
    let whole = before.novel(at + 101, "a", &exec("web", "/bin/sh", &[]));
    assert_eq!(novelty.score * 2.0, whole.score);
    assert!(bench.profiles.get(&old).is_some());
}

#[test]
fn what_it_does_not_do_itself_fades() {
    let mut bench = rolled_out();
    let at = 2 * HOUR;
    let do_so = |bench: &mut Bench, from: u64, to: u64| {
        for at in from..to {
            bench.does(at, "new", &open("web", "/srv/www/page1.html"));
        }
    };
    do_so(&mut bench, at, at + HOUR);
    assert_eq!(bench.profile().state(), State::Converged);
    assert_eq!(bench.does(at + HOUR, "new", &connect("web", "10.0.0.7", 5432)), Verdict::Known);
    bench.does(at + 2 * DAY, "new", &open("web", "/srv/www/page1.html"));
    let faded = bench.novel(at + 2 * DAY, "new", &open("web", "/srv/www/page2.html"));
    assert_eq!(faded.key.digest, "sha256:2");
}

#[test]
fn another_tag_of_an_image_is_its_successor() {
    let mut bench = rolled_out();
    bench.image = "localhost/web:2";
    bench.does(2 * HOUR, "new", &open("web", "/srv/www/page1.html"));
    assert_eq!(bench.profile().state(), State::Probation);
    bench.image = "localhost/other:2";
    bench.does(2 * HOUR, "other", &open("web", "/srv/www/page1.html"));
    assert_eq!(bench.profile().state(), State::Learning);
}

#[test]
fn a_restart_keeps_whose_successor_it_is() {
    let mut bench = rolled_out();
    bench.does(2 * HOUR, "new", &open("web", "/srv/www/page1.html"));
    let files: Vec<_> = bench.profiles.iter().map(|s| bench.profiles.get(&s.of).unwrap().to_yaml()).collect();
    let mut again = Bench { digest: bench.digest, ..Bench::new() };
    files.iter().for_each(|file| again.profiles.import(Profile::from_yaml(file).unwrap()));
    assert_eq!(again.does(2 * HOUR + 100, "new", &connect("web", "10.0.0.7", 5432)), Verdict::Known);
    assert_eq!(again.profile().state(), State::Probation);
}

#[test]
fn a_pinned_profile_never_changes_and_counts_from_the_first_event() {
    let mut bench = Bench::new();
    bench.serve(&["a"], 0, 2 * MINUTE);
    let learned = bench.profile().clone();
    let mut pinned = Bench::new();
    pinned.profiles.pin(learned);
    let before = pinned.profile().to_yaml().replace("pinned: true\n", "");
    assert_eq!(pinned.does(HOUR, "x", &open("web", "/srv/www/page1.html")), Verdict::Known);
    for i in 0..10 {
        pinned.novel(HOUR + i * DAY, "x", &exec("web", "/bin/sh", &[]));
    }
    let entries = |file: &str| file.split("phases:").nth(1).unwrap().to_owned();
    assert_eq!(entries(&pinned.profile().to_yaml()), entries(&before));
    assert_eq!(pinned.profile().state(), State::Pinned);
    assert!(pinned.profiles.unpin(&pinned.key()));
    assert_eq!(pinned.profile().state(), State::Learning);
}

#[test]
fn a_profile_for_any_digest_holds_for_each() {
    let mut bench = Bench::new();
    bench.serve(&["a"], 0, 2 * MINUTE);
    let file = bench.profile().to_yaml().replace("digest: \"sha256:1\"", "digest: \"*\"");
    let mut other = Bench { digest: "sha256:7", ..Bench::new() };
    other.profiles.pin(Profile::from_yaml(&file).unwrap());
    assert_eq!(other.does(HOUR, "x", &open("web", "/srv/www/page1.html")), Verdict::Known);
    assert_eq!(other.novel(HOUR, "x", &exec("web", "/bin/sh", &[])).key.digest, "*");
    // Where one was learned, this one holds from then on; where one is pinned, that does.
    bench.profiles.pin(Profile::from_yaml(&file).unwrap());
    let shell = exec("web", "/bin/sh", &[]);
    for name in ["a", "new"] {
        assert_eq!(bench.novel(HOUR, name, &shell).key.digest, "*");
    }
    let own = bench.profile().clone();
    bench.profiles.pin(own);
    assert_eq!(bench.novel(HOUR, "newer", &shell).key.digest, "sha256:1");
}
