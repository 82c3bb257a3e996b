//! Attached: links, pinned so that they outlive the daemon, on the whole system or on a container's cgroup.

use std::{fs, os::fd::AsRawFd, path::Path};

use libbpf_rs::{Link, Object, ProgramMut, ProgramType};

use super::load::is_cgroup;

/// Where a program attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// Once, for everybody; its prologue tells who is in scope.
    Global,
    /// To the cgroup of each container.
    Cgroup,
}

/// How programs of this type attach, or why they cannot be had.
pub fn how(ty: ProgramType, section: &str) -> Result<Attach, String> {
    if is_cgroup(ty) {
        return Ok(Attach::Cgroup);
    }
    match ty {
        ProgramType::Tracing
        | ProgramType::RawTracepoint
        | ProgramType::RawTracepointWritable
        | ProgramType::Tracepoint
        | ProgramType::Kprobe
        | ProgramType::Lsm
            if !section.starts_with("iter") =>
        {
            Ok(Attach::Global)
        }
        other => Err(format!("section {section} ({other:?}) is not one remora attaches")),
    }
}

/// A link, and whether a restart of the daemon leaves it in place.
#[derive(Debug)]
pub struct Held {
    pub program: String,
    link: Option<Link>,
    pub pinned: bool,
}

impl Held {
    /// Takes over what an earlier daemon pinned at `pin`, or attaches and pins there.
    pub fn new(
        object: &Object,
        program: &str,
        cgroup: Option<&Path>,
        pin: Option<&Path>,
    ) -> Result<Self, String> {
        if let Some(link) = pin.filter(|p| p.exists()).and_then(|p| Link::open(p).ok()) {
            return Ok(Self { program: program.to_owned(), link: Some(link), pinned: true });
        }
        let mut link = attach(object, program, cgroup)?;
        let pinned = match pin {
            // Links of perf events cannot be pinned before 5.15; they then end with the daemon.
            Some(pin) => link.pin(pin).map_err(|e| tracing::debug!(program, "not pinned: {e}")).is_ok(),
            None => false,
        };
        Ok(Self { program: program.to_owned(), link: Some(link), pinned })
    }
}

impl Held {
    /// Name of the pin, if pinned.
    pub fn pin_name(&self) -> Option<String> {
        let path = self.link.as_ref().filter(|_| self.pinned)?.pin_path()?;
        path.file_name().map(|n| n.to_string_lossy().into_owned())
    }

    /// Leaves the pinned link in place: the daemon goes, the programs stay.
    pub fn leave(mut self) {
        if self.pinned {
            drop(self.link.take());
        }
    }
}

impl Held {
    /// From here on the link lasts no longer than this process holds it.
    pub fn unpin(&mut self) {
        let Some(link) = self.link.as_mut().filter(|_| self.pinned) else { return };
        let path = link.pin_path();
        if link.unpin().is_err() {
            let _ = path.map(fs::remove_file);
        }
        self.pinned = false;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.unpin();
    }
}

fn attach(object: &Object, program: &str, cgroup: Option<&Path>) -> Result<Link, String> {
    let prog = find(object, program)?;
    super::log::with_log(|| match cgroup {
        None => prog.attach().map_err(|e| e.to_string()),
        Some(path) => {
            let dir = fs::File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
            prog.attach_cgroup(dir.as_raw_fd()).map_err(|e| e.to_string())
        }
    })
    .map_err(|e| format!("failed to attach program {program}: {e}"))
}

fn find<'o>(object: &'o Object, program: &str) -> Result<ProgramMut<'o>, String> {
    object.progs_mut().find(|p| p.name() == program).ok_or_else(|| format!("no program {program}"))
}

/// Attaches and detaches at once: some kernels load what they will not attach.
pub fn try_attach(object: &Object, program: &str) -> Result<(), String> {
    let prog = find(object, program)?;
    if is_cgroup(prog.prog_type()) {
        return Ok(());
    }
    super::log::with_log(|| prog.attach().map(drop).map_err(|e| e.to_string()))
}
