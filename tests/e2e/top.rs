//! `remora top`, on a real terminal.

use std::process::Command;

use remora_tests::{Bed, Bundle, Pty, bed::signal, output, wait_for};

const TAKES: &str = "\x1b[?1049h";
const GIVES_BACK: &str = "\x1b[?1049l";

fn top(bed: &Bed) -> Pty {
    let command: Command = bed.remora(&["top", "--interval", "1"]);
    let pty = Pty::start(command, 80, 24);
    pty.wait_for("q end");
    assert!(pty.text().contains(TAKES));
    pty
}

/// It has ended well, and the terminal is as it was.
fn assert_given_back(mut pty: Pty) {
    let status = wait_for("top to end", || pty.child.try_wait().expect("failed to wait"));
    assert!(status.success(), "{status}");
    wait_for("the screen to be given back", || pty.text().contains(GIVES_BACK).then_some(()));
    assert!(pty.is_cooked(), "the terminal is still raw");
}

#[test]
fn containers_tracers_and_what_is_inside() {
    let bed = Bed::new();
    let script =
        "/bin/cp /bin/busybox /tmp/$(printf 'a\\033[2Jb'); while :; do /tmp/a*b true; /bin/sleep 0.1; done";
    let hostile = Bundle::new(&bed, "hostile", "exec", &["/bin/sh", "-c", script]);
    let calm = Bundle::new(&bed, "calm", "exec", &["/bin/sleep", "1000"]);
    let children = [hostile.start(), calm.start()];
    wait_for("them to run", || hostile.pid().zip(calm.pid()));
    let mut pty = top(&bed);
    assert!(!pty.is_cooked());
    pty.wait_for("hostile");
    pty.wait_for("calm");
    pty.wait_for("2 containers");
    pty.press("t");
    pty.wait_for("tracers, by their cost");
    pty.press("c");
    // By name the hostile one is the second.
    pty.press("ssss");
    pty.wait_for("sorted by name");
    pty.press("j\r");
    pty.wait_for("LAST EVENTS");
    pty.wait_for("\\u{1b}[2Jb");
    assert!(!pty.text().contains("a\x1b[2Jb"), "what a container says reaches the terminal");
    pty.resize(40, 8);
    pty.press("\x1b[D");
    pty.wait_for("calm");
    pty.resize(200, 50);
    pty.wait_for("sorted by name");
    pty.press("q");
    assert_given_back(pty);
    drop((hostile, calm));
    children.into_iter().for_each(|mut child| drop(child.wait()));
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let mut bed = Bed::new();
    for end in ["TERM", "INT", "HUP"] {
        let pty = top(&bed);
        signal(pty.child.id(), end);
        assert_given_back(pty);
    }
    let mut pty = top(&bed);
    pty.press("\x03");
    assert_given_back(pty);
    let mut pty = top(&bed);
    bed.stop();
    pty.wait_for("failed to reach the daemon");
    bed.start();
    pty.wait_for("0 containers");
    pty.press("q");
    assert_given_back(pty);
}

#[test]
fn without_a_terminal_it_says_so() {
    let bed = Bed::new();
    let said = output(&mut bed.remora(&["top"]));
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("needs a terminal"), "{said:?}");
    let mut cold = Bed::cold();
    cold.write_config();
    let mut pty = Pty::start(cold.remora(&["top"]), 80, 24);
    let status = wait_for("top to end", || pty.child.try_wait().expect("failed to wait"));
    assert_eq!(status.code(), Some(1));
    pty.wait_for("is it running");
    assert!(!pty.text().contains(TAKES));
    cold.start();
}
