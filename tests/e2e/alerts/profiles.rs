//! What is known of images, over restarts and in the hands of a person.

use std::{fs, thread::sleep, time::Duration};

use remora_tests::{Bed, Podman, wait_for};
use serde_json::Value;

use super::{TRACED, watching};

fn learned(bed: &Bed) -> Option<Value> {
    bed.json("/v1/profiles")
        .as_array()?
        .iter()
        .find(|p| p["image"] == "localhost/remora-test:latest")
        .cloned()
}

fn target(key: &str) -> String {
    format!("/v1/profiles/{}", key.replace('/', "%2F"))
}

/// A profile once the container's last program is in it, and nothing more comes.
fn settled(bed: &Bed, key: &str) -> String {
    wait_for("all that was done to be learned", || {
        let text = bed.get(&target(key));
        sleep(Duration::from_millis(500));
        (text.contains("/bin/sleep") && text == bed.get(&target(key))).then_some(text)
    })
}

#[test]
fn profiles_survive_a_restart() {
    let mut bed = watching();
    bed.start();
    let podman = Podman::new(&bed);
    podman.run("one", &["--annotation", TRACED], &["sh", "-c", "/bin/ls / >/dev/null; /bin/sleep 0.2"]);
    bed.ended("one");
    let before = wait_for("a profile", || learned(&bed).filter(|p| p["entries"].as_u64() > Some(1)));
    let key = before["key"].as_str().expect("a key").to_owned();
    let text = settled(&bed, &key);
    assert!(text.starts_with("remora-profile: 1") && text.contains("/bin/ls"), "{text}");
    bed.stop();
    bed.start();
    assert_eq!(bed.get(&target(&key)), text);

    // Changed by hand, pinned, and so again after a restart that nobody saw come.
    let changed = text.replace("/bin/ls", "/bin/other");
    assert!(bed.send("PUT", &format!("{}?pin=true", target(&key)), &changed).contains(&key));
    bed.kill();
    bed.start();
    assert_eq!(learned(&bed).expect("a profile")["state"], "pinned");
    assert!(bed.get(&target(&key)).contains("/bin/other"));
    assert_eq!(bed.value("remora_profiles", &[("state", "pinned")]), Some(1.0));
    podman.run("two", &["--annotation", TRACED], &["sh", "-c", "/bin/ls / >/dev/null"]);
    bed.ended("two");
    wait_for("what left the profile", || {
        let alarms = bed.json("/v1/alarms?container=two");
        alarms.as_array()?.iter().any(|a| a["kind"] == "novelty").then_some(())
    });
    assert!(!bed.get(&target(&key)).contains("/bin/ls"), "a pinned profile has learned");

    for (body, said) in [
        ("remora-profile: [", "1:"),
        ("x: y", "remora-profile"),
        (&*text.replace("image:", "image: x"), "not of"),
    ] {
        let answer = bed.send("PUT", &target(&key), body);
        assert!(answer.contains("422") && answer.contains(said), "{answer}");
    }
    assert!(bed.send("POST", &format!("{}/unpin", target(&key)), "").contains(&key));
    assert_ne!(learned(&bed).expect("a profile")["state"], "pinned");
    assert!(bed.send("DELETE", &target(&key), "").contains(&key));
    assert!(bed.send("DELETE", &target(&key), "").contains("404") && learned(&bed).is_none());
    assert_eq!(fs::read_dir(bed.path("state/profiles")).expect("no folder").count(), 0);
}
