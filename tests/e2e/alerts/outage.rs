//! Who is told is away, or remora is.

use remora_tests::{Alertmanager, wait_for};

use super::{DROPPER, incident, ran, watching};

#[test]
fn an_outage_of_the_receiver_loses_nothing() {
    let bed = watching();
    let mut alertmanager = Alertmanager::new(&bed);
    let mut bed = bed.with("alerts.alertmanager", &format!("urls = [\"{}\"]", alertmanager.url()));
    bed.start();
    let up = |bed: &remora_tests::Bed| bed.value("remora_alert_output_up", &[("output", "alertmanager")]);
    assert_eq!(up(&bed), Some(1.0));
    alertmanager.stop();
    ran(&bed, "first", DROPPER);
    wait_for("it to be noticed", || (up(&bed)? == 0.0).then_some(()));
    wait_for("its end", || incident(&bed, "first", "over"));
    // What was told and not taken is there again, though nobody could say goodbye.
    bed.kill();
    bed.start();
    assert!(incident(&bed, "first", "over").is_some());
    ran(&bed, "second", DROPPER);
    wait_for("the second", || incident(&bed, "second", "over"));
    alertmanager.start();
    for container in ["first", "second"] {
        for status in ["firing", "resolved"] {
            wait_for(&format!("{container} to be {status}"), || {
                let all = alertmanager.notified(status);
                all.iter().any(|a| a["labels"]["container"] == container).then_some(())
            });
        }
    }
    wait_for("the queue to be empty", || {
        (bed.value("remora_alert_output_queue_bytes", &[("output", "alertmanager")])? == 0.0).then_some(())
    });
    assert_eq!(bed.value("remora_alert_output_dropped_total", &[("output", "alertmanager")]), Some(0.0));
}

#[test]
fn what_happens_while_the_daemon_is_away_is_told_by_the_next() {
    let mut bed = watching();
    bed.start();
    // The second time is told after the restart.
    let script = "cp /bin/busybox /tmp/busybox-new; while [ ! -e /tmp/go ]; do sleep 0.1; done; /tmp/busybox-new true; sleep 1000";
    let (bundle, mut child) = super::started(&bed, "away", script);
    wait_for("the container", || (!bed.events_of("away").is_empty()).then_some(()));
    bed.kill();
    std::fs::write(bundle.rootfs().join("tmp/go"), "").expect("failed to write");
    std::thread::sleep(std::time::Duration::from_secs(1));
    bed.start();
    wait_for("the incident", || incident(&bed, "away", "open"));
    // It is open when the daemon is killed, and the next one knows that it was.
    bed.kill();
    bed.start();
    wait_for("its end", || incident(&bed, "away", "over"));
    assert_eq!(bed.value("remora_alert_gaps_total", &[]), Some(0.0));
    bundle.delete();
    child.wait().expect("failed to wait");
}
