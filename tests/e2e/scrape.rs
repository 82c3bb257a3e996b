//! How much a scrape says: so much for each container, whatever its programs do.

use std::{fs, net::UdpSocket, process::Stdio};

use remora_tests::{Bed, Cgroup, bed::Series, dns::query, emulated, output, run, wait_for};

/// Most series of a container with the default tracers, and with all of them.
const DEFAULT: usize = 250;
const ALL: usize = 2_000;

fn of<'s>(series: &'s [Series], container: &str) -> Vec<&'s Series> {
    series.iter().filter(|s| s.label("container") == Some(container)).collect()
}

#[test]
fn each_container_adds_the_same_bounded_share() {
    let mut bed = Bed::tracing("default");
    bed.start();
    let half = if emulated() { 5 } else { 100 };
    let mut groups = Vec::new();
    // Others come to be when something is first counted.
    let of_containers =
        |bed: &Bed| bed.series("remora_").iter().filter(|s| s.label("container").is_some()).count();
    let mut add = || {
        for _ in 0..half {
            let name = format!("{}-{}", bed.name(), groups.len());
            let group = Cgroup::new(None, &name);
            let at = group.relative();
            run(&mut bed.remora(&["attach", "--cgroup", &at, "--name", &name, "--trace", "default"]));
            run(&mut group.command(&["/bin/true"]));
            groups.push(group);
        }
        of_containers(&bed)
    };
    let none = of_containers(&bed);
    let (some, twice) = (add() - none, add() - none);
    assert_eq!(some % half, 0, "{some} series of {half} containers");
    assert_eq!(twice, 2 * some);
    assert!(some / half <= DEFAULT, "{} series a container", some / half);
}

/// Files, programs, names that are asked for, requests, ports and addresses, each time others.
fn hostile(bed: &Bed, name_server: u16, from: u16, to: u16) {
    let dir = bed.path("names");
    fs::create_dir_all(&dir).expect("failed to make a folder");
    for n in from..to {
        let name = format!("evil-{n}");
        let question = query(n, &[name.as_bytes(), b"test"], n);
        fs::write(dir.join(format!("question-{n}")), question).expect("failed to write");
    }
    let script = format!(
        "cd {dir}; for n in $(seq {from} {last}); do cp /bin/true evil-$n; ./evil-$n; mv evil-$n evil-$n.old; rm evil-$n.old; \
         exec 3<>/dev/udp/127.0.0.1/{name_server}; cat question-$n >&3; exec 3>&-; \
         (exec 4<>/dev/tcp/127.0.$((n / 250)).$((n % 250))/$n) 2>/dev/null; \
         printf 'evil-%s' $n >/proc/self/comm; sleep 9 & kill -$((n % 64 + 1)) $!; kill -9 $!; done",
        dir = dir.display(),
        last = to - 1,
    );
    let mut command = bed.remora(&["run", "--name", "evil", "--trace", "all", "--", "bash", "-c", &script]);
    let said = output(command.stdin(Stdio::null()));
    assert!(said.status.success(), "{said:?}");
    let end = format!("evil-{}", to - 1);
    wait_for("the last name among the events", || {
        run(&mut bed.remora(&["events", "--replay"])).contains(&end).then_some(())
    });
}

#[test]
fn names_that_containers_choose_make_no_series() {
    // Nobody answers.
    let socket = UdpSocket::bind("127.0.0.1:0").expect("failed to bind");
    let name_server = socket.local_addr().expect("an address").port();
    let params = format!("params = {{ dns = {{ port = {name_server} }} }}");
    let mut bed = Bed::tracing("all").with("tracers", &params).with("metrics", "topology = true");
    bed.start();
    let (few, many) = if emulated() { (2, 20) } else { (40, 200) };
    hostile(&bed, name_server, 1, few);
    let before = of(&bed.series("remora_"), "evil").len();
    hostile(&bed, name_server, few, many);
    let series = bed.series("remora_");
    let mine = of(&series, "evil");
    let named = mine.iter().find(|s| s.labels.iter().any(|(_, v)| v.contains("evil-")));
    assert_eq!(named, None);
    assert!(before <= ALL && mine.len() <= ALL, "{before} series, then {}", mine.len());
}
