//! docs/getting-started.md: its marked commands, run as they stand, show the events that it promises.
//!
//! A block ```` ```sh MANAGER ```` is run; a block ```` ```text MANAGER ```` behind one is what that command has to show. What the commands
//! call (`sudo`, `podman`, …) are scripts in front of PATH, which send them to the test's own daemon and manager.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use remora_tests::{
    Bed, Containerd, Docker, Podman, build_dir, cri::Container, podman::IMAGE, run, script, source, wait_for,
};

use super::docker::binaries;

const BUSYBOX: &str = "docker.io/library/busybox";

fn page() -> String {
    fs::read_to_string(source("docs/getting-started.md")).expect("no docs/getting-started.md")
}

/// The blocks of a manager, by kind.
fn blocks(manager: &str) -> Vec<(String, String)> {
    let page = page();
    let all = page.split("\n```").skip(1).step_by(2).map(|b| b.split_once('\n').expect("a block"));
    let mine = all.filter_map(|(fence, text)| {
        let (kind, of) = fence.split_once(' ')?;
        (of == manager).then(|| (kind.to_owned(), text.to_owned()))
    });
    mine.collect()
}

fn words(command: &Command) -> String {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy());
    let envs =
        command.get_envs().filter_map(|(k, v)| Some(format!("{}={}", k.to_string_lossy(), quoted(v?))));
    let args = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    envs.chain(args).collect::<Vec<_>>().join(" ")
}

/// Whom the page's commands reach.
struct Reader<'a> {
    bed: &'a Bed,
    path: PathBuf,
}

impl<'a> Reader<'a> {
    /// `options` are those by which a manager is found that is not where it is on other hosts.
    fn new(bed: &'a Bed, options: &[(&str, &Path)]) -> Self {
        let path = bed.path("path");
        fs::create_dir(&path).expect("failed to make a folder");
        let reader = Self { bed, path };
        script(&reader.path.join("sudo"), "exec \"$@\"");
        let (bin, etc) = (binaries(bed), bed.path("etc"));
        let mut install = Command::new(build_dir().join("remora"));
        install.arg("--config").arg(bed.path("remora.toml"));
        let here = words(&install);
        let mut more = Command::new("--yes");
        for (flag, path) in [("--bin-dir", bin.as_path()), ("--etc-dir", &etc)].iter().chain(options) {
            more.arg(flag).arg(path);
        }
        let more = words(&more);
        reader.put(
            "remora",
            &format!("case $1 in *install-runtime) set -- \"$@\" {more} ;; esac\nexec {here} \"$@\""),
        );
        reader
    }

    /// A program of the page's, which is another one here.
    fn put(&self, name: &str, text: &str) {
        let path = std::env::var("PATH").expect("a path");
        script(&self.path.join(name), &format!("PATH='{path}'\n{text}"));
    }

    fn stand_in(&self, name: &str, command: &Command) {
        self.put(name, &format!("exec env {} \"$@\"", words(command)));
    }

    fn run(&self, block: &str) -> String {
        let path = std::env::var("PATH").expect("a path");
        let block = block.replace("/etc/remora/", &format!("{}/", self.bed.path("etc").display()));
        let mut shell = Command::new("sh");
        shell.args(["-euc", &block]).env("PATH", format!("{}:{path}", self.path.display()));
        run(&mut shell)
    }

    /// Runs each command; one that shows something, until it shows all that is promised.
    fn follow(&self, blocks: &[(String, String)]) {
        let mut blocks = blocks.iter().peekable();
        let mut promises = 0;
        while let Some((kind, command)) = blocks.next() {
            assert_eq!(kind, "sh", "a promise behind no command: {command}");
            match blocks.next_if(|(kind, _)| kind == "text") {
                Some((_, promised)) => {
                    self.keeps(command, promised);
                    promises += 1;
                }
                None => drop(self.run(command)),
            }
        }
        println!("{promises} promises kept");
    }

    fn keeps(&self, command: &str, promised: &str) {
        let what = format!("{command} to show\n{promised}");
        wait_for(&what, || {
            let said = self.run(command);
            let mut said = said.lines().map(comparable);
            // In this order, with others between.
            promised.lines().all(|p| said.any(|s| fits(&comparable(p), &s))).then_some(())
        });
    }
}

/// Without time and process id, which no two runs share.
fn comparable(line: &str) -> String {
    let words = line.split_whitespace().enumerate().filter(|(i, _)| ![0, 3].contains(i));
    words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

/// Whether this is what the page says, in which `…` stands for anything.
fn fits(promised: &str, said: &str) -> bool {
    let (first, more) = promised.split_once('…').unwrap_or((promised, "\n"));
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    if more == "\n" {
        return rest.is_empty();
    }
    for piece in more.split('…') {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    true
}

#[test]
fn dots_stand_for_anything() {
    assert!(fits("a … c=1 …", "a b c=1 d") && fits("a d=…", "a d=0.5") && fits("a b", "a b"));
    assert!(!fits("a … c=1 …", "a b c=2 d") && !fits("a b", "a b c") && !fits("b …", "a b c"));
}

/// No block is left out because its mark is misspelt.
#[test]
fn every_mark_is_known() {
    let page = page();
    let marks = page.lines().filter_map(|l| l.strip_prefix("```")?.split_once(' '));
    let mut marks: Vec<&str> = marks.map(|(_, manager)| manager).collect();
    marks.sort_unstable();
    marks.dedup();
    assert_eq!(marks, ["containerd", "docker", "none", "pod", "podman"]);
}

#[test]
fn without_a_manager() {
    let bed = Bed::new();
    Reader::new(&bed, &[]).follow(&blocks("none"));
    bed.ended("job");
    bed.assert_empty();
}

#[test]
fn with_podman() {
    let bed = Bed::new();
    let podman = Podman::new(&bed);
    podman.without_hook();
    run(&mut podman.command(&["tag", IMAGE, BUSYBOX]));
    let reader = Reader::new(&bed, &[("--hooks-dir", podman.hooks())]);
    reader.stand_in("podman", &podman.command(&[]));
    reader.follow(&blocks("podman"));
    assert_eq!(bed.ended("hello")["ledger"].get("late"), None);
    assert_eq!(fs::read_dir(podman.hooks()).expect("a folder").count(), 0);
    bed.assert_empty();
}

#[test]
fn with_docker() {
    let bed = Bed::cold();
    let mut docker = Docker::new("{}");
    run(&mut docker.command(&["tag", IMAGE, BUSYBOX]));
    let socket = format!("socket = {:?}", docker.socket());
    let data = format!("data_root = {:?}", docker.data_root());
    let mut bed = bed.with("managers.docker", &socket).with("managers.docker", &data);
    bed.start();
    let reader = Reader::new(&bed, &[("--manager-config", &docker.config())]);
    reader.stand_in("docker", &docker.command(&[]));
    let blocks = blocks("docker");
    let (tell, rest) = blocks.split_at(1);
    reader.follow(tell);
    docker.stop();
    docker.start();
    reader.follow(rest);
    assert_eq!(bed.ended("hello")["ledger"].get("late"), None);
    assert_eq!(fs::read_to_string(docker.config()).expect("a file"), "{}");
    bed.assert_empty();
}

#[test]
fn with_ctr() {
    let bed = Bed::new();
    let containerd = Containerd::new(&bed);
    let tag = ["images", "tag", &format!("{IMAGE}:latest"), &format!("{BUSYBOX}:latest")];
    run(&mut containerd.ctr(&tag));
    let reader = Reader::new(&bed, &[]);
    // There is nobody to pull from; and cgroups are below the test's own.
    let ours = format!("--cgroup {}/hello --cpu-shares 0", containerd.cgroup());
    let ctr = words(&containerd.ctr(&[]));
    reader
        .put("ctr", &format!("verb=$1\nshift\n[ $verb != image ] || exit 0\nexec {ctr} $verb {ours} \"$@\""));
    reader.follow(&blocks("containerd"));
    assert_eq!(bed.ended("hello")["ledger"].get("late"), None);
    bed.assert_empty();
}

/// As a kubelet would run the page's manifest.
#[test]
fn with_pods() {
    let bed = Bed::new();
    let containerd = Containerd::new(&bed);
    let mut cri = containerd.cri();
    let blocks = blocks("pod");
    let [(_, manifest), (_, promised)] = &blocks[..] else { panic!("{blocks:?}") };
    let value = |key: &str| {
        let mut lines = manifest.lines().filter_map(|l| l.trim().trim_start_matches("- ").strip_prefix(key));
        lines.next().unwrap_or_else(|| panic!("no {key} in {manifest}")).trim()
    };
    let command: Vec<String> = serde_json::from_str(value("command:")).expect("a list");
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let pod = cri.pod(value("name:"), &[], &[("io.remora.trace", value("io.remora.trace:"))]);
    let container = cri.run(&pod, &Container::new("main", &command));
    let page = page();
    let asks = page.lines().find_map(|l| l.strip_prefix("kubectl -n remora exec ds/remora -- remora events"));
    let asks = format!("remora events{}", asks.expect("no command that shows the pod's events"));
    Reader::new(&bed, &[]).keeps(&asks, promised);
    assert_eq!(bed.ended(&container)["ledger"].get("late"), None);
    cri.stop_pod(&pod.id);
    cri.remove_pod(&pod.id);
    bed.assert_empty();
}
