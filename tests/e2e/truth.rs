//! Events against what strace, the peer and the file system say of the same commands.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
};

use remora_tests::{Bed, Events, events::text, run};
use serde_json::Value;

/// What one system call did, in the words both sides share.
pub type Call = String;

/// With what `traced` asks for loaded.
pub fn bed() -> Bed {
    let mut bed = Bed::tracing("exec,file,tcp");
    bed.start();
    bed
}

/// Runs a script under strace in a traced cgroup: strace's lines, and the events.
pub fn traced(bed: &Bed, name: &str, calls: &str, script: &str) -> (Vec<(u32, String)>, Events) {
    let out = bed.path(&format!("{name}.strace"));
    let mut command = bed.remora(&["run", "--name", name, "--trace", "exec file tcp", "--", "strace"]);
    command.args(["-f", "-y", "-s", "4096", "-e", &format!("trace={calls}"), "-o"]);
    run(command.arg(&out).args(["sh", "-c", script]).current_dir(bed.path("")));
    let ended = bed.ended(name);
    for (tracer, counts) in ended["ledger"]["tracers"].as_object().expect("tracers") {
        assert_eq!(counts["counted"], counts["delivered"], "{tracer}: {ended}");
    }
    (lines(&fs::read_to_string(out).expect("no strace output")), bed.events().of_container(name))
}

/// Lines by pid, with calls that were interrupted by another process's line put together.
fn lines(text: &str) -> Vec<(u32, String)> {
    let mut open: BTreeMap<u32, String> = BTreeMap::new();
    let mut out = Vec::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').expect("a pid");
        let pid = pid.parse().expect("a pid");
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            open.insert(pid, begun.to_owned());
        } else if let Some(ended) = rest.strip_prefix("<... ") {
            let tail = ended.split_once(" resumed>").expect("resumed").1;
            out.push((pid, open.remove(&pid).unwrap_or_default() + tail));
        } else {
            out.push((pid, rest.to_owned()));
        }
    }
    out
}

/// Everything a process did, per process: the order between processes is nobody's to tell.
pub fn by_pid(calls: impl IntoIterator<Item = (u32, Call)>) -> BTreeMap<u32, Vec<Call>> {
    let mut all: BTreeMap<u32, Vec<Call>> = BTreeMap::new();
    for (pid, call) in calls {
        all.entry(pid).or_default().push(call);
    }
    all
}

pub fn compare(expected: BTreeMap<u32, Vec<Call>>, seen: BTreeMap<u32, Vec<Call>>) {
    assert!(!expected.is_empty(), "strace saw nothing");
    for (pid, calls) in &expected {
        let mine = seen.get(pid).cloned().unwrap_or_default();
        for (i, (a, b)) in calls.iter().zip(&mine).enumerate() {
            assert_eq!(a, b, "process {pid}, call {i}: strace left, event right");
        }
        assert_eq!(calls.len(), mine.len(), "process {pid}: {calls:#?} against {mine:#?}");
    }
}

/// Name, arguments and result of a line.
pub fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    Some((name, arguments.trim_end().strip_suffix(')')?, result))
}

pub fn error(result: &str) -> String {
    let rest = result.strip_prefix("-1 ").unwrap_or_default();
    rest.split(' ').next().unwrap_or_default().to_owned()
}

/// What stands between `<` and `>` behind a descriptor.
pub fn in_brackets(text: &str) -> Option<&str> {
    Some(text.split_once('<')?.1.split_once('>')?.0)
}

/// The path of an argument such as `AT_FDCWD</tmp>, "a/b"`, or of `"a/b"` with the working directory.
pub fn path(arguments: &str, cwd: &str) -> String {
    let quoted = arguments.split('"').nth(1).expect("a quoted path");
    let before = arguments.split('"').next().unwrap_or_default();
    let dir = in_brackets(before).unwrap_or(cwd);
    if quoted.starts_with('/') {
        quoted.to_owned()
    } else {
        format!("{}/{quoted}", dir.trim_end_matches('/'))
    }
}

const SCRIPT: &str = "cat /etc/passwd nowhere ./no/where >/dev/null 2>&1; mkdir -p d/e; echo x >d/e/f; cp d/e/f d/g; \
    (cd d && cat e/f g >/dev/null; mv g e/h; rm -f gone e/h; ls -R . >/dev/null); rm -r d; \
    find /etc/apt -type f >/dev/null; head -c 10 /proc/self/comm >/dev/null; echo y >>/dev/null; rmdir nothing 2>/dev/null; true";

#[test]
fn opens_unlinks_and_renames_are_those_of_strace() {
    let bed = bed();
    let cwd = bed.path("").canonicalize().expect("a folder").display().to_string();
    let calls = "open,openat,openat2,creat,unlink,unlinkat,rmdir,rename,renameat,renameat2";
    let (strace, events) = traced(&bed, "files", calls, SCRIPT);
    let expected = strace.iter().filter_map(|(pid, line)| {
        let (name, arguments, result) = parts(line)?;
        let failed = error(result);
        let call = match name {
            "open" | "openat" | "openat2" | "creat" if failed.is_empty() => {
                format!("open {} ", in_brackets(result).unwrap_or(result))
            }
            "open" | "openat" | "openat2" | "creat" => format!("open {} {failed}", path(arguments, &cwd)),
            "unlink" | "unlinkat" | "rmdir" => format!("unlink {} {failed}", path(arguments, &cwd)),
            "rename" | "renameat" | "renameat2" => {
                let (old, new) = arguments.split_once("\", ").expect("two paths");
                format!("rename {} {} {failed}", path(&format!("{old}\""), &cwd), path(new, &cwd))
            }
            _ => return None,
        };
        // strace shows the working directory of the call, not of the script.
        Some((*pid, call))
    });
    let seen = events.0.iter().filter_map(|e| {
        let name = text(e, "event.name");
        let path = match name.as_str() {
            "open" | "unlink" => text(e, "file.path"),
            "rename" => format!("{} {}", text(e, "rename.old_path"), text(e, "rename.new_path")),
            _ => return None,
        };
        Some((pid(e), format!("{name} {path} {}", text(e, &format!("{name}.error")))))
    });
    compare(by_pid(expected), by_pid(seen));
}

pub fn pid(event: &Value) -> u32 {
    event["process"]["pid"].as_u64().expect("a pid") as u32
}

#[test]
fn execs_and_exits_are_those_of_strace() {
    let bed = bed();
    let script =
        "ls / >/dev/null; sh -c 'exit 7'; sh -c 'kill -9 $$'; /bin/echo 'two words' '' x >/dev/null; true";
    let (strace, events) = traced(&bed, "execs", "execve", script);
    let mut expected = Vec::new();
    for (pid, line) in &strace {
        if let Some(rest) = line.strip_prefix("+++ exited with ") {
            expected.push((*pid, format!("exit {} ", rest.trim_end_matches(" +++"))));
        } else if let Some(rest) = line.strip_prefix("+++ killed by ") {
            expected.push((*pid, format!("exit 0 {}", rest.trim_end_matches(" +++"))));
        } else if let Some(("execve", arguments, "0")) = parts(line) {
            let (file, rest) = arguments.split_once(", [").expect("arguments");
            let list = rest.rsplit_once("], ").expect("an end").0;
            expected.push((*pid, format!("exec {} [{}]", file.trim_matches('"'), list.replace(", ", ","))));
        }
    }
    let seen = events.0.iter().filter_map(|e| match text(e, "event.name").as_str() {
        "exec" => {
            Some((pid(e), format!("exec {} {}", text(e, "exec.filename"), text(e, "process.command_args"))))
        }
        "exit" => Some((pid(e), format!("exit {} {}", text(e, "exit.code"), text(e, "exit.signal")))),
        _ => None,
    });
    let seen = by_pid(seen);
    // strace's own first process executes before strace can look: its exec of sh is there on both sides.
    compare(by_pid(expected), seen);
}

#[test]
fn connects_and_bytes_are_those_of_the_peer() {
    let bed = bed();
    for (name, host) in [("v4", "127.0.0.1"), ("v6", "::1")] {
        let listener = TcpListener::bind((host, 0)).expect("failed to listen");
        let port = listener.local_addr().expect("an address").port();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("failed to accept");
            stream.write_all(&[b'x'; 12_345]).expect("failed to write");
            let mut got = Vec::new();
            stream.read_to_end(&mut got).expect("failed to read");
            got.len()
        });
        // bash opens /dev/tcp by itself: connect, read and write are its own.
        let script = format!(
            "exec 3<>/dev/tcp/{host}/{port}; head -c 12345 <&3 >/dev/null; head -c 54321 /dev/zero >&3; exec 3>&-; \
             (exec 4<>/dev/tcp/{host}/1) 2>/dev/null; true"
        );
        run(&mut bed.remora(&["run", "--name", name, "--trace", "tcp", "--", "bash", "-c", &script]));
        let received = peer.join().expect("the peer");
        bed.ended(name);
        let events = bed.events().of_container(name);
        let connects = events.named("connect");
        let to = |e: &Value| format!("{} {}", text(e, "network.peer.port"), text(e, "connect.error"));
        let list: Vec<String> = connects.0.iter().map(to).collect();
        assert_eq!(list, [format!("{port} "), "1 ECONNREFUSED".into()], "{connects:?}");
        assert_eq!(text(connects.first(), "network.peer.address"), host);
        assert_eq!(text(connects.first(), "process.comm"), "bash");
        let close = events.named("close");
        assert_eq!(close.len(), 1, "{close:?}");
        assert_eq!(text(close.first(), "close.sent"), received.to_string());
        assert_eq!(text(close.first(), "close.received"), "12345");
        assert_eq!(text(close.first(), "close.direction"), "outgoing");
        let series = |what: &str| {
            bed.metric(&format!("remora_tcp_{what}_total{{namespace=\"\",pod=\"\",container=\"{name}\""))
        };
        assert_eq!(series("sent_bytes"), Some(received as f64));
        assert_eq!((series("connects"), series("connect_failures")), (Some(1.0), Some(1.0)));
    }
}

#[test]
fn accepted_connections_and_their_listener() {
    let bed = bed();
    let ready = bed.path("ready");
    // 1F9A is 8090: the port is listened to.
    let script = format!(
        "(until grep -q ':1F9A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done; touch {}) & \
         busybox nc -l -p 8090 </etc/passwd >/dev/null; wait",
        ready.display()
    );
    let mut command = bed.remora(&["run", "--name", "server", "--trace", "tcp", "--", "bash", "-c", &script]);
    let mut child = command.spawn().expect("failed to start");
    remora_tests::wait_for("the server", || Path::new(&ready).exists().then_some(()));
    let mut client = TcpStream::connect("127.0.0.1:8090").expect("failed to connect");
    client.write_all(b"hello").expect("failed to write");
    client.shutdown(std::net::Shutdown::Write).expect("failed to shut down");
    let mut got = Vec::new();
    client.read_to_end(&mut got).expect("failed to read");
    drop(client);
    child.wait().expect("failed to wait");
    bed.ended("server");
    let events = bed.events().of_container("server");
    let accept = events.named("accept");
    assert_eq!(accept.len(), 1, "{events:?}");
    assert_eq!(text(accept.first(), "network.local.port"), "8090");
    assert_eq!(text(accept.first(), "process.comm"), "busybox");
    let close = events.named("close");
    assert_eq!(text(close.first(), "close.direction"), "incoming");
    assert_eq!(
        (text(close.first(), "close.sent"), text(close.first(), "close.received")),
        (got.len().to_string(), "5".into())
    );
}

#[test]
fn bytes_read_and_written_are_those_of_the_files() {
    let bed = bed();
    let file = bed.path("data");
    let path = file.display();
    let script = format!(
        "dd if=/dev/zero of={path} bs=4096 count=25 2>/dev/null; dd if={path} of=/dev/null bs=1000 2>/dev/null; cat {path} | wc -c >/dev/null"
    );
    run(&mut bed.remora(&["run", "--name", "bytes", "--trace", "file", "--", "bash", "-c", &script]));
    bed.ended("bytes");
    let series = |what: &str| bed.metric(&format!("remora_file_{what}_total")).expect(what);
    let size = fs::metadata(&file).expect("the file").len() as f64;
    assert_eq!(size, 102_400.0);
    assert_eq!(series("written_bytes"), size);
    // Read twice, beside what the loader reads of libraries.
    let libraries = series("read_bytes") - 2.0 * size;
    assert!((0.0..64_000.0).contains(&libraries), "{libraries}");
}
