//! The trio every tracer is tested with: the same work done by no container, by another container, and by this
//! one, while the tracer is attached for this one. Only this one's may be seen.

use std::{fs, process::Command, process::Stdio};

use serde_json::Value;

use crate::{Bed, Bundle, Events, bed::Series, run, wait_for};

#[derive(Debug)]
pub struct Trio {
    pub bed: Bed,
    pub tracer: String,
    /// What the script printed in this container, in the other, and in none.
    pub printed: [String; 3],
}

const THIS: &str = "this";

impl Trio {
    /// `script` is busybox's shell's.
    pub fn run(tracer: &str, script: &str) -> Self {
        Self::with(tracer, script, |_| ())
    }

    /// With containers whose configuration is changed before it is written.
    pub fn with(tracer: &str, script: &str, change: impl Fn(&mut Value)) -> Self {
        let mut bed = Bed::tracing(tracer);
        bed.start();
        Self::on(bed, tracer, script, change)
    }

    /// On a bed of the test's own.
    pub fn on(bed: Bed, tracer: &str, script: &str, change: impl Fn(&mut Value)) -> Self {
        let wait = "while [ ! -e /tmp/go ]; do sleep 0.05; done;";
        let waiting = format!("exec >/tmp/out 2>&1; {wait} ({script})");
        let this = Bundle::with(&bed, THIS, &["/bin/sh", "-c", &waiting], |config| {
            config["annotations"]["io.remora.trace"] = tracer.into();
            change(config);
        })
        .with_act();
        let mut child = this.start();
        wait_for("the container to run", || this.pid());
        let other = Bundle::with(&bed, "other", &["/bin/sh", "-c", script], &change).with_act().run();
        let mut none = Command::new("chroot");
        let script = format!("export PATH=/bin; {script}");
        none.arg(this.rootfs()).args(["/bin/sh", "-c", &script]).stdin(Stdio::null());
        let none = run(&mut none);
        fs::write(this.rootfs().join("tmp/go"), "").expect("failed to write");
        child.wait().expect("failed to wait");
        let own = fs::read_to_string(this.rootfs().join("tmp/out")).expect("no output");
        drop(this);
        bed.ended(THIS);
        let trio = Self { bed, tracer: tracer.to_owned(), printed: [own, other, none] };
        trio.assert_alone();
        trio
    }

    /// Nobody else has an event or a series of the tracer's.
    fn assert_alone(&self) {
        let all = self.bed.events();
        let strangers = all.only(|e| e["container"]["name"] != THIS);
        assert!(strangers.is_empty(), "events of somebody else: {strangers:?}");
        let prefix = format!("remora_{}_", self.tracer);
        let other = |s: &Series| s.label("container") != Some(THIS);
        let strangers: Vec<_> = self.bed.series(&prefix).into_iter().filter(other).collect();
        assert!(strangers.is_empty(), "series of somebody else: {strangers:?}");
    }

    /// This container's events of the tracer.
    pub fn events(&self) -> Events {
        self.bed.events_of(THIS).only(|e| e["event"]["tracer"] == *self.tracer)
    }

    /// Sum of the series of this name of this container.
    pub fn metric(&self, name: &str) -> f64 {
        self.bed.series(name).iter().filter(|s| s.name == name).map(|s| s.value).sum()
    }
}
