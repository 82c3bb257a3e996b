//! Tracers of the tests' own, `tests/fixtures/*.bpf.c`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{Bed, run, source};

/// The compiled object of a fixture: from `REMORA_FIXTURES`, where there is no compiler, else made here.
pub fn fixture(name: &str) -> PathBuf {
    folder().join(format!("{name}.bpf.o"))
}

/// All fixtures whose names begin like this, without it.
pub fn fixtures(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("no fixtures").flatten();
    let name = |e: fs::DirEntry| {
        let name = e.file_name().into_string().ok()?;
        Some(name.strip_suffix(".bpf.o")?.strip_prefix(prefix)?.to_owned())
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    names
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(made) = std::env::var_os("REMORA_FIXTURES") {
            return made.into();
        }
        run(Command::new("make").args(["--no-print-directory", "-s", "fixtures", "-C"]).arg(source("")));
        source("build/fixtures")
    })
}

impl Bed {
    /// The folder whose objects the daemon takes for tracers.
    pub fn tracers_dir(&self) -> PathBuf {
        let dir = self.path("tracers.d");
        fs::create_dir_all(&dir).expect("failed to make a folder");
        dir
    }

    /// Puts a fixture where the daemon looks for tracers.
    pub fn with_fixture(self, name: &str) -> Self {
        let to = self.tracers_dir().join(format!("{name}.bpf.o"));
        fs::copy(fixture(name), to).expect("failed to copy a fixture");
        self
    }

    /// Every tracer loaded at start: where loading takes long, a container that waits for it would be late.
    pub fn preloading() -> Self {
        Self::cold().with("tracers", "preload = [\"all\"]")
    }

    /// This tracer, group or list of them loaded at start.
    pub fn tracing(tracers: &str) -> Self {
        let list: Vec<String> = tracers.split(',').map(|t| format!("{t:?}")).collect();
        Self::cold().with("tracers", &format!("preload = [{}]", list.join(", ")))
    }

    /// A bed with this fixture, whose daemon runs.
    pub fn of(name: &str) -> Self {
        let mut bed = Self::tracing(&format!("{name},exec")).with_fixture(name);
        bed.start();
        bed
    }

    /// A tracer as the API shows it.
    pub fn tracer(&self, name: &str) -> serde_json::Value {
        self.json(&format!("/v1/tracers/{name}"))
    }
}
