//! Stacks on the processor: functions of known names, processor time as the kernel counts it, and programs that are
//! not what a reader expects.

mod xml;

use std::{fs, path::PathBuf, process::Child};

use remora_tests::{Bed, Bundle, Trio, emulated, output, run, runc::put_program, wait_for};
use serde_json::Value;

const HERTZ: f64 = 49.0;
/// How many samples are enough to tell something by.
const ENOUGH: f64 = 50.0;

/// Which part of the samples that processor time promises has to come at least. An emulated processor's timer comes late
/// when the host is busy.
fn least() -> f64 {
    if emulated() { 0.1 } else { 0.6 }
}

/// A container that runs until it is told to stop.
struct Spinning {
    bundle: Bundle,
    child: Child,
}

impl Spinning {
    /// `how` is `act`'s word for what to be busy with.
    fn new(bed: &Bed, id: &str, how: &str) -> Self {
        Self::with(Bundle::new(bed, id, "profile", &["/bin/act", "spin", how, "/tmp/stop"]).with_act())
    }

    fn with(bundle: Bundle) -> Self {
        let child = bundle.start();
        Self { bundle, child }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.bundle.rootfs().join("tmp").join(name)
    }

    fn touch(&self, name: &str) {
        fs::write(self.file(name), "").expect("failed to write");
    }

    fn pid(&self) -> u32 {
        wait_for("the container to run", || self.bundle.pid())
    }

    /// Waits until there are so many samples, as long as they become more: how long depends on who else is busy.
    fn sampled(&self, bed: &Bed, samples: f64) -> &Self {
        let (id, mut now) = (&self.bundle.id, 0.0);
        while now < samples {
            now = wait_for(&format!("samples of {id}"), || Some(metric(bed, id)).filter(|n| *n > now));
        }
        self
    }

    fn stop(mut self) -> Bundle {
        self.touch("stop");
        self.child.wait().expect("failed to wait");
        self.bundle
    }
}

fn bed() -> Bed {
    let mut bed = Bed::tracing("profile");
    bed.start();
    bed
}

/// Samples of a container, as the metrics count them.
fn metric(bed: &Bed, container: &str) -> f64 {
    let all = bed.series("remora_profile_");
    let mine = all.iter().filter(|s| s.label("container") == Some(container));
    mine.filter(|s| s.name.ends_with("_samples_total")).map(|s| s.value).sum()
}

fn stacks(bed: &Bed, container: &str) -> Value {
    bed.json(&format!("/v1/containers/{container}/stacks"))
}

/// The part of the samples that have such a function, of all.
fn share(profile: &Value, side: &str, function: &str) -> f64 {
    let samples = profile["samples"].as_array().expect("samples");
    let has = |s: &&Value| {
        let names = s[side].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).any(|n| n.contains(function))
    };
    let weight = |s: &Value| s["value"].as_f64().expect("a value");
    samples.iter().filter(has).map(weight).sum::<f64>() / profile["total"].as_f64().expect("a total").max(1.0)
}

/// Seconds of processor time that the kernel charged to a process.
fn processor_time(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("no stat");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<f64>().expect("a number");
    // SAFETY: touches no memory of ours.
    (ticks(11) + ticks(12)) / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
}

#[test]
fn busy_functions_are_told_by_name_and_those_of_others_are_not() {
    let bed = bed();
    let [alpha, beta] = ["alpha", "beta"].map(|how| Spinning::new(&bed, &format!("profile-{how}"), how));
    alpha.sampled(&bed, ENOUGH);
    beta.sampled(&bed, ENOUGH);
    for (own, other) in [("alpha", "beta"), ("beta", "alpha")] {
        let profile = stacks(&bed, &format!("profile-{own}"));
        assert!(share(&profile, "user", &format!("spin_{own}")) > 0.8, "{profile}");
        assert_eq!(share(&profile, "user", &format!("spin_{other}")), 0.0, "{profile}");
        assert_eq!(
            (profile["table"].as_str(), profile["tracer"].as_str(), profile["unit"].as_str()),
            (Some("profile_stacks"), Some("profile"), Some("samples"))
        );
    }
    let rows = bed.json("/v1/containers/profile-alpha/tables/profile_stacks");
    let row = &rows["rows"][0]["profile_stacks"];
    assert_eq!(
        (row["pid"].as_u64(), row["comm"].as_str()),
        (Some(alpha.pid().into()), Some("act")),
        "{rows}"
    );
    assert!(rows.to_string().contains("spin_alpha"), "{rows}");
    alpha.stop();
    beta.stop();
}

#[test]
fn samples_are_processor_time() {
    let bed = bed();
    let spinning = Spinning::new(&bed, "profile-timed", "alpha");
    let (from, pid) = (spinning.sampled(&bed, 10.0), spinning.pid());
    let before = (processor_time(pid), metric(&bed, "profile-timed"));
    from.sampled(&bed, before.1 + 2.0 * ENOUGH);
    let after = (processor_time(pid), metric(&bed, "profile-timed"));
    let (seconds, samples) = (after.0 - before.0, after.1 - before.1);
    let ratio = samples / (seconds * HERTZ);
    assert!((least()..1.5).contains(&ratio), "{samples} samples in {seconds} s of processor time");
    // Each sample has its stacks, if it is not lost.
    let total = stacks(&bed, "profile-timed")["total"].as_f64().expect("a total");
    assert!(total >= after.1 * 0.95, "{total} of {}", after.1);
    spinning.stop();
}

#[test]
fn the_kernels_functions_are_told_by_name() {
    let bed = bed();
    let spinning = Spinning::new(&bed, "profile-kernel", "zero");
    spinning.sampled(&bed, ENOUGH);
    let profile = stacks(&bed, "profile-kernel");
    assert_eq!(profile.get("notes"), None, "{profile}");
    assert!(share(&profile, "kernel", "read") > 0.5, "{profile}");
    let kernel = bed.series("remora_profile_kernel_samples_total")[0].value;
    assert!(kernel > 0.5 * metric(&bed, "profile-kernel"), "{kernel}");
    let folded = bed.get("/v1/containers/profile-kernel/stacks?format=folded");
    let line = folded.lines().find(|l| l.contains("_[k]")).unwrap_or_else(|| panic!("{folded}"));
    assert!(
        line.starts_with("act;") && line.rsplit(' ').next().is_some_and(|n| n.parse::<u64>().is_ok()),
        "{line}"
    );
    spinning.stop();
}

/// Nobody asks while it runs: names are looked for in time without being asked.
#[test]
fn a_process_that_ended_has_names() {
    let bed = bed();
    let script = "/bin/act spin alpha /tmp/first; /bin/act spin beta /tmp/second; : >/tmp/done; \
        while [ ! -e /tmp/stop ]; do sleep 0.1; done";
    let spinning =
        Spinning::with(Bundle::new(&bed, "profile-brief", "profile", &["/bin/sh", "-c", script]).with_act());
    spinning.sampled(&bed, 1.0);
    wait_for("the first's name", || {
        (share(&stacks(&bed, "profile-brief"), "user", "spin_alpha") > 0.0).then_some(())
    });
    let before = metric(&bed, "profile-brief");
    spinning.touch("first");
    spinning.sampled(&bed, before + 2.0 * ENOUGH).touch("second");
    wait_for("the second to end", || spinning.file("done").exists().then_some(()));
    let profile = stacks(&bed, "profile-brief");
    assert!(share(&profile, "user", "spin_beta") > 0.3, "{profile}");
    // So has a container that ended.
    spinning.stop().delete();
    bed.ended("profile-brief");
    let profile = stacks(&bed, "profile-brief");
    assert!(share(&profile, "user", "spin_alpha") > 0.0, "{profile}");
    assert!(share(&profile, "user", "spin_beta") > 0.3, "{profile}");
    assert_eq!(profile["unit"], "samples");
    bed.assert_empty();
}

#[test]
fn a_flame_graph_shows_the_functions() {
    let bed = bed();
    let spinning = Spinning::new(&bed, "profile-flame", "alpha");
    spinning.sampled(&bed, ENOUGH);
    let file = bed.path("flame.svg");
    run(bed.remora(&["flame", "profile-flame", "--seconds", "2", "-o"]).arg(&file));
    let svg = fs::read_to_string(&file).expect("no file");
    xml::assert_well_formed(&svg);
    assert!(svg.contains("spin_alpha") && svg.contains("samples"), "{svg}");
    let folded = run(&mut bed.remora(&["stacks", "profile-flame"]));
    let best = folded.lines().max_by_key(|l| l.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()));
    assert!(best.is_some_and(|l| l.starts_with("act;") && l.contains("spin_alpha")), "{folded}");
    spinning.stop();
    let none = output(&mut bed.remora(&["stacks", "nobody"]));
    assert!(!none.status.success() && String::from_utf8_lossy(&none.stderr).contains("nobody is not known"));
}

#[test]
fn code_made_at_run_time_has_the_names_its_maker_wrote_down() {
    let bed = bed();
    let spinning = Spinning::new(&bed, "profile-jit", "jit");
    spinning.sampled(&bed, ENOUGH);
    let profile = stacks(&bed, "profile-jit");
    assert!(share(&profile, "user", "spin_compiled") > 0.8, "{profile}");
    spinning.stop();
}

/// A reader of the names would wait for ever; what it is for goes on.
#[test]
fn who_holds_the_reader_up_holds_up_nobody_else() {
    let bed = bed();
    let stuck = Spinning::new(&bed, "profile-stuck", "stuck");
    stuck.sampled(&bed, ENOUGH);
    let profile = wait_for("the reader to be given up", || {
        let profile = stacks(&bed, "profile-stuck");
        profile.get("notes").is_some().then_some(profile)
    });
    assert!(
        profile["notes"][0].as_str().is_some_and(|n| n.contains("looking into one of its programs failed"))
    );
    assert!(share(&profile, "user", "[unknown]") > 0.5, "{profile}");
    let alpha = Spinning::new(&bed, "profile-beside", "alpha");
    alpha.sampled(&bed, ENOUGH);
    wait_for("its names", || {
        (share(&stacks(&bed, "profile-beside"), "user", "spin_alpha") > 0.8).then_some(())
    });
    stuck.stop();
    alpha.stop();
}

/// Programs that run, and whose tables of symbols are not what they seem.
#[test]
fn damaged_programs_do_no_harm() {
    let bed = bed();
    let spinning = |id: &str, damage: fn(&mut Vec<u8>)| {
        let name = "bin/a;b\u{1b}[31m";
        let bundle = Bundle::new(&bed, id, "profile", &[&format!("/{name}"), "spin", "alpha", "/tmp/stop"]);
        let bundle = bundle.with_act();
        let mut program = fs::read(bundle.rootfs().join("bin/act")).expect("failed to read");
        damage(&mut program);
        let made = bed.path(&format!("{id}.elf"));
        fs::write(&made, program).expect("failed to write");
        put_program(&made, &bundle.rootfs(), name);
        run(std::process::Command::new("chmod").arg("755").arg(bundle.rootfs().join(name)));
        Spinning::with(bundle)
    };
    let all = DAMAGES.map(|(id, damage)| spinning(id, damage));
    for damaged in &all {
        damaged.sampled(&bed, 30.0);
        let id = &damaged.bundle.id;
        let folded = bed.get(&format!("/v1/containers/{id}/stacks?format=folded"));
        let mut lines = folded.lines();
        assert!(
            lines.clone().count() > 0 && lines.all(|l| l.starts_with("a:b\\u{1b}[31m;")),
            "{id}: {folded}"
        );
        assert!(
            !folded.contains('\u{1b}') && !bed.get(&format!("/v1/containers/{id}/stacks")).contains('\u{1b}')
        );
    }
    let fine = Spinning::new(&bed, "profile-fine", "alpha");
    fine.sampled(&bed, ENOUGH);
    wait_for("its names", || {
        (share(&stacks(&bed, "profile-fine"), "user", "spin_alpha") > 0.8).then_some(())
    });
    all.into_iter().for_each(|damaged| drop(damaged.stop()));
    fine.stop();
}

type Damage = (&'static str, fn(&mut Vec<u8>));

/// What is not needed for running is damaged: the table of sections, and what it leads to.
const DAMAGES: [Damage; 5] = [
    ("profile-sections-away", |elf| elf[0x28..0x30].copy_from_slice(&u64::MAX.to_le_bytes())),
    ("profile-sections-many", |elf| elf[0x3c..0x3e].copy_from_slice(&u16::MAX.to_le_bytes())),
    ("profile-sections-random", |elf| {
        let from = sections(elf);
        let mut random = 77u32;
        for byte in &mut elf[from..] {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (random >> 24) as u8;
        }
    }),
    ("profile-sections-huge", |elf| {
        let from = sections(elf);
        // sh_offset and sh_size of each.
        elf[from..].chunks_exact_mut(64).for_each(|s| s[0x18..0x28].fill(0xff));
    }),
    ("profile-sections-same", |elf| {
        let from = sections(elf);
        // Each says that it is the symbols, in entries of no size.
        elf[from..].chunks_exact_mut(64).for_each(|s| {
            s[4..8].copy_from_slice(&2u32.to_le_bytes());
            s[0x38..0x40].fill(0);
        });
    }),
];

/// Where the table of sections begins; it is the last thing in the file.
fn sections(elf: &[u8]) -> usize {
    let at = u64::from_le_bytes(elf[0x28..0x30].try_into().expect("eight bytes")) as usize;
    let count = u16::from_le_bytes(elf[0x3c..0x3e].try_into().expect("two bytes"));
    assert_eq!(at + usize::from(count) * 64, elf.len(), "the sections' table is not at the end");
    at
}

/// Where its links cannot be pinned, it ends with the daemon, and says so.
#[test]
fn sampling_goes_on_while_the_daemon_is_away() {
    let mut bed = bed();
    let id = "profile-restart";
    let script = "/bin/act spin beta /tmp/first; exec /bin/act spin alpha /tmp/stop";
    let spinning = Spinning::with(Bundle::new(&bed, id, "profile", &["/bin/sh", "-c", script]).with_act());
    spinning.sampled(&bed, 1.0);
    wait_for("a name", || (share(&stacks(&bed, id), "user", "spin_beta") > 0.0).then_some(()));
    spinning.touch("first");
    spinning.sampled(&bed, metric(&bed, id) + ENOUGH);
    let survives = bed.tracer("profile")["survives_restart"] == true;
    // One that stops in order leaves the names of what has ended, too.
    for (go, left) in [(Bed::stop as fn(&mut Bed), true), (Bed::kill, false)] {
        let pid = spinning.pid();
        let (time, before) = (processor_time(pid), metric(&bed, id));
        go(&mut bed);
        assert_eq!(bed.links().iter().any(|p| p.to_string_lossy().contains("/sampled")), survives);
        wait_for("processor time", || (processor_time(pid) > time + 2.0).then_some(()));
        bed.start();
        let (missed, now) = (processor_time(pid) - time, metric(&bed, id));
        assert!(now >= before, "{before} samples became {now}");
        let ratio = (now - before) / (missed * HERTZ);
        assert!(ratio > least() || !survives, "only {ratio} of the samples while it was away");
        spinning.sampled(&bed, now + ENOUGH);
        let profile = stacks(&bed, id);
        // How many the other program had before is a matter of how long its name took.
        let alphas = share(&profile, "user", "spin_alpha") * profile["total"].as_f64().expect("a total");
        assert!(alphas > ENOUGH * 0.5, "{alphas} samples of what spins now: {profile}");
        let named = share(&profile, "user", "spin_beta") > 0.0;
        assert!(named || !left, "the names of what has ended are not left: {profile}");
    }
    spinning.stop();
    bed.assert_empty();
}

/// Code that is found at another place each time: no two stacks are the same.
#[test]
fn what_the_kernel_has_no_room_for_is_kept() {
    let bed = bed();
    let spinning = Spinning::new(&bed, "profile-scattered", "scattered");
    let rows = || {
        let table = bed.json("/v1/containers/profile-scattered/tables/profile_stacks?limit=100000");
        table["rows"].as_array().expect("rows").len() as f64
    };
    spinning.sampled(&bed, 400.0);
    wait_for("the kernel's rows to be taken", || (rows() < 350.0).then_some(()));
    let (all, profile) = (metric(&bed, "profile-scattered"), stacks(&bed, "profile-scattered"));
    let total = profile["total"].as_f64().expect("a total");
    assert!(total >= all * 0.9 && all >= 400.0, "{total} of {all}");
    assert!(share(&profile, "user", "[unknown]") > 0.8, "{profile}");
    spinning.stop();
}

#[test]
fn a_container_may_have_fewer_stacks_noted() {
    let bed = bed();
    let bundle = Bundle::with(&bed, "profile-few", &["/bin/act", "spin", "alpha", "/tmp/stop"], |config| {
        config["annotations"]["io.remora.trace"] = "profile".into();
        config["annotations"]["io.remora.param.profile.every"] = "10".into();
    });
    let spinning = Spinning::with(bundle.with_act());
    spinning.sampled(&bed, 3.0 * ENOUGH);
    let (total, all) =
        (stacks(&bed, "profile-few")["total"].as_f64().expect("a total"), metric(&bed, "profile-few"));
    assert!((1.0..all * 0.3).contains(&total), "{total} of {all}");
    spinning.stop();
}

#[test]
fn only_this_container_is_looked_at() {
    let trio = Trio::run("profile", "timeout 2 sh -c 'while :; do :; done'; true");
    let samples = metric(&trio.bed, "this");
    assert!(samples > 0.0, "{samples}");
    let profile = stacks(&trio.bed, "this");
    let total = profile["total"].as_f64().expect("a total");
    assert!(total > 0.0 && total <= samples, "{total} of {samples}");
    let other = trio.bed.get("/v1/containers/other/stacks");
    assert!(other.contains("container other is not known"), "{other}");
}
