//! Attached: links, pinned so that they outlive the daemon, on the whole system or on a container's cgroup.

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use libbpf_rs::{Link, Object, ProgramMut, ProgramType};

use super::load::is_cgroup;
use super::{refresh, sample};

/// Where a program attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// Once, for everybody; its prologue tells who is in scope.
    Global,
    /// To the cgroup of each container.
    Cgroup,
    /// To nothing: it is run over a map before that is read.
    Refresh,
}

/// How programs of this type attach, or why they cannot be had.
pub fn how(ty: ProgramType, section: &str) -> Result<Attach, String> {
    if is_cgroup(ty) {
        return Ok(Attach::Cgroup);
    }
    if section == refresh::SECTION {
        return Ok(Attach::Refresh);
    }
    match ty {
        ProgramType::Tracing
        | ProgramType::RawTracepoint
        | ProgramType::RawTracepointWritable
        | ProgramType::Tracepoint
        | ProgramType::Kprobe
        | ProgramType::PerfEvent
        | ProgramType::Lsm
            if !section.starts_with("iter") =>
        {
            Ok(Attach::Global)
        }
        other => Err(format!("section {section} ({other:?}) is not one remora attaches")),
    }
}

/// A program's link, or its links: one for each processor. And whether a restart of the daemon leaves it in place.
#[derive(Debug)]
pub struct Held {
    pub program: String,
    links: Vec<Link>,
    /// Ids of the programs that the links run, each once.
    pub ids: BTreeSet<u32>,
    pub pinned: bool,
}

impl Held {
    /// Takes over what an earlier daemon pinned at `pin`, or attaches and pins there. With several links, the pins'
    /// names tell the processors, too.
    pub fn new(
        object: &Object,
        program: &str,
        cgroup: Option<&Path>,
        pin: Option<&Path>,
    ) -> Result<Self, String> {
        let attached = Self::attach(object, program, cgroup, pin);
        attached.map_err(|e| format!("failed to attach program {program}: {e}"))
    }

    fn attach(
        object: &Object,
        program: &str,
        cgroup: Option<&Path>,
        pin: Option<&Path>,
    ) -> Result<Self, String> {
        let prog = find(object, program)?;
        let mut held = Self {
            program: program.to_owned(),
            links: Vec::new(),
            ids: BTreeSet::new(),
            pinned: pin.is_some(),
        };
        if prog.prog_type() != ProgramType::PerfEvent {
            held.add(pin.map(Path::to_owned), || attach(&prog, cgroup).map(Some))?;
            return Ok(held);
        }
        let hertz = sample::hertz(object, program)?;
        for processor in sample::processors() {
            let pin = pin.map(|p| p.with_file_name(format!("{}@cpu{processor}", name_of(p))));
            held.add(pin, || sample::attach(&prog, hertz, processor))?;
        }
        Ok(held)
    }

    fn add(
        &mut self,
        pin: Option<PathBuf>,
        attach: impl FnOnce() -> Result<Option<Link>, String>,
    ) -> Result<(), String> {
        if let Some(link) = pin.as_ref().filter(|p| p.exists()).and_then(|p| Link::open(p).ok()) {
            self.hold(link);
            return Ok(());
        }
        let Some(mut link) = super::log::with_log(attach)? else { return Ok(()) };
        if let Some(Err(e)) = pin.map(|p| link.pin(p)) {
            // Links of perf events cannot be pinned before 5.15; they then end with the daemon.
            tracing::debug!(program = self.program, "not pinned: {e}");
            self.pinned = false;
        }
        self.hold(link);
        Ok(())
    }

    fn hold(&mut self, link: Link) {
        self.ids.extend(link.info().map(|info| info.prog_id));
        self.links.push(link);
    }
}

impl Held {
    /// Names of the pins, if pinned.
    pub fn pin_names(&self) -> Vec<String> {
        self.links.iter().filter_map(Link::pin_path).map(|p| name_of(&p)).collect()
    }

    /// Leaves the pinned links in place: the daemon goes, the programs stay.
    pub fn leave(mut self) {
        for mut link in std::mem::take(&mut self.links) {
            if link.pin_path().is_some() {
                // Else libbpf stops the clock of a perf event that the pin keeps.
                link.disconnect();
            }
        }
    }
}

impl Held {
    /// From here on the links last no longer than this process holds them.
    pub fn unpin(&mut self) {
        for link in &mut self.links {
            let Some(path) = link.pin_path() else { continue };
            if link.unpin().is_err() {
                let _ = fs::remove_file(path);
            }
        }
        self.pinned = false;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.unpin();
    }
}

/// How long the kernel may take to let go of a link that was closed: it does so after a grace period of its own, and
/// until then takes the program for attached.
const LEAVING: Duration = Duration::from_millis(300);

fn attach(prog: &ProgramMut<'_>, cgroup: Option<&Path>) -> Result<Link, String> {
    let Some(path) = cgroup else {
        let began = Instant::now();
        loop {
            match prog.attach() {
                Err(_) if is_leaving() && began.elapsed() < LEAVING => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                other => return other.map_err(|e| e.to_string()),
            }
        }
    };
    let dir = fs::File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    prog.attach_cgroup(dir.as_raw_fd()).map_err(|e| e.to_string())
}

/// What libbpf has just failed with: EEXIST of a tracepoint, EBUSY of a function.
fn is_leaving() -> bool {
    matches!(io::Error::last_os_error().raw_os_error(), Some(libc::EEXIST | libc::EBUSY))
}

fn name_of(pin: &Path) -> String {
    pin.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn find<'o>(object: &'o Object, program: &str) -> Result<ProgramMut<'o>, String> {
    object.progs_mut().find(|p| p.name() == program).ok_or_else(|| format!("no program {program}"))
}

/// Attaches and detaches at once: some kernels load what they will not attach.
pub fn try_attach(object: &Object, program: &str) -> Result<(), String> {
    let prog = find(object, program)?;
    if is_cgroup(prog.prog_type()) || prog.section() == refresh::SECTION {
        return Ok(());
    }
    Held::attach(object, program, None, None).map(drop)
}
