//! Loaded: in the kernel, sharing the scope's maps, every program shown to look at the scope. Not yet attached.

use std::{
    collections::{HashMap, HashSet},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::Path,
    sync::Arc,
};

use libbpf_rs::{AsRawLibbpf, MapCore, MapHandle, MapType, Object, ProgramType};

use super::contract::{Program, is_identifier};
use super::links::{self, Attach};
use super::log::with_log;
use super::metric::MetricMap;
use super::open::{Opened, TracerError};
use super::{ObjectFile, contract::Description, plan::EventPlan};
use crate::scope::SharedMaps;
use crate::scope::abi::Stats;
use crate::scope::mapped::Mapped;

/// Who a loaded object is.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Bit in the containers' mask.
    pub bit: u32,
    /// `head.tracer` of its records; never used twice while the ring lives.
    pub number: u32,
    pub params: HashMap<String, u64>,
}

#[derive(Debug)]
pub struct Loaded {
    pub object: Object,
    pub description: Arc<Description>,
    pub events: Arc<HashMap<u32, Arc<EventPlan>>>,
    pub metrics: Vec<Source>,
    pub stats: Arc<Mapped<Stats>>,
    pub instance: Instance,
    /// Programs in use, and how each attaches.
    pub chosen: Vec<(String, Attach)>,
    /// Programs this kernel refused, and why.
    pub refused: Vec<(String, String)>,
}

/// A metric map that can be read.
#[derive(Debug, Clone)]
pub struct Source {
    pub plan: Arc<MetricMap>,
    pub map: Arc<MapHandle>,
}

impl Loaded {
    /// Loads with the first program of each group that this kernel takes. With a folder, the tracer's own
    /// maps are pinned there, or taken over from it.
    pub fn load(
        file: &ObjectFile,
        shared: &SharedMaps,
        instance: Instance,
        pins: Option<&Path>,
    ) -> Result<Self, TracerError> {
        let opened = Opened::open(file)?;
        let mut refused = Vec::new();
        let mut out = Set::first(&opened.description.programs);
        let object = match prepare(opened, shared, &instance, pins, &out.chosen).and_then(load) {
            Ok(object) => object,
            Err(first) => {
                // Which program was it? Each alternative is tried for itself.
                out = Set::tried(file, shared, &instance, &mut refused)?;
                if refused.is_empty() {
                    return Err(first);
                }
                load(prepare(Opened::open(file)?, shared, &instance, pins, &out.chosen)?)?
            }
        };
        let opened = Opened::open(file)?;
        let mut loaded = Self::finish(object, opened, shared, instance, out.chosen, refused)?;
        // Only now: of what is refused nothing stays.
        if let Some(dir) = pins {
            let fail = |why| TracerError { verb: "pin", origin: file.origin.clone(), why };
            loaded.pin(dir).map_err(fail)?;
        }
        Ok(loaded)
    }

    fn pin(&mut self, dir: &Path) -> Result<(), String> {
        for mut map in self.object.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            let path = dir.join(&name);
            if is_own(&name) && !path.exists() {
                map.pin(path).map_err(|e| format!("map {name}: {e}"))?;
            }
        }
        Ok(())
    }

    fn finish(
        object: Object,
        opened: Opened,
        shared: &SharedMaps,
        instance: Instance,
        names: HashSet<String>,
        refused: Vec<(String, String)>,
    ) -> Result<Self, TracerError> {
        let fail = |why: String| TracerError { verb: "load", origin: opened.file.origin.clone(), why };
        let mut chosen = Vec::new();
        for prog in object.progs().filter(|p| names.contains(&*p.name().to_string_lossy())) {
            let name = prog.name().to_string_lossy().into_owned();
            check_scoped(prog.as_fd(), shared).map_err(|e| fail(format!("program {name} {e}")))?;
            let attach = links::how(prog.prog_type(), &prog.section().to_string_lossy());
            chosen.push((name.clone(), attach.map_err(|e| fail(format!("program {name}: {e}")))?));
        }
        let map = |name: &str| object.maps().find(|m| m.name() == name);
        let stats = map("remora_stats").ok_or_else(|| fail("map remora_stats is missing".into()))?;
        let stats =
            Mapped::new(stats.as_fd(), shared.containers as usize).map_err(|e| fail(e.to_string()))?;
        let mut metrics = Vec::new();
        for plan in &opened.metrics {
            let handle = map(&plan.map).map(|m| MapHandle::try_from(&m));
            let handle = handle.ok_or_else(|| fail(format!("map {} is missing", plan.map)))?;
            let map = Arc::new(handle.map_err(|e| fail(e.to_string()))?);
            metrics.push(Source { plan: plan.clone(), map });
        }
        Ok(Self {
            description: Arc::new(opened.description.clone()),
            events: Arc::new(opened.events.clone()),
            metrics,
            stats: Arc::new(stats),
            instance,
            chosen,
            refused,
            object,
        })
    }
}

/// The programs to load.
struct Set {
    chosen: HashSet<String>,
}

impl Set {
    /// Everything that stands alone, and the first of each group.
    fn first(programs: &[Program]) -> Self {
        let best = |group: &str| {
            let members = programs.iter().filter_map(|p| p.oneof.as_ref().map(|(g, r)| (g, *r, &p.name)));
            members.filter(|(g, ..)| *g == group).min_by_key(|(_, r, _)| *r).map(|(.., n)| n.clone())
        };
        let chosen = programs.iter().filter(|p| match &p.oneof {
            None => true,
            Some((group, _)) => best(group).as_ref() == Some(&p.name),
        });
        Self { chosen: chosen.map(|p| p.name.clone()).collect() }
    }

    /// Tries each program that may be refused: it must load and, where that costs nothing, attach.
    fn tried(
        file: &ObjectFile,
        shared: &SharedMaps,
        instance: &Instance,
        refused: &mut Vec<(String, String)>,
    ) -> Result<Self, TracerError> {
        let programs = Opened::open(file)?.description.programs;
        let mut chosen = HashSet::new();
        let mut groups: HashMap<String, bool> = HashMap::new();
        let mut sorted = programs.clone();
        sorted.sort_by_key(|p| p.oneof.as_ref().map_or(0, |(_, rank)| *rank));
        for program in sorted {
            let group = program.oneof.as_ref().map(|(g, _)| g.clone());
            if let Some(group) = &group {
                if groups.get(group) == Some(&true) {
                    continue;
                }
            } else if !program.optional {
                chosen.insert(program.name);
                continue;
            }
            let only = HashSet::from([program.name.clone()]);
            let tried = prepare(Opened::open(file)?, shared, instance, None, &only).and_then(load);
            let tried = tried.map_err(|e| e.why).and_then(|o| links::try_attach(&o, &program.name));
            if let Some(group) = group {
                *groups.entry(group).or_default() |= tried.is_ok();
            }
            match tried {
                Ok(()) => drop(chosen.insert(program.name)),
                Err(why) => refused.push((program.name, last_line(&why))),
            }
        }
        if let Some((group, _)) = groups.iter().find(|(_, taken)| !**taken) {
            let why = refused.iter().map(|(n, w)| format!("{n}: {w}")).collect::<Vec<_>>().join("; ");
            let why = format!("this kernel takes none of the programs for {group}: {why}");
            return Err(TracerError { verb: "load", origin: file.origin.clone(), why });
        }
        Ok(Self { chosen })
    }
}

fn last_line(text: &str) -> String {
    text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or_default().to_owned()
}

/// Hands over the shared maps, sizes the tracer's own, and says which programs are wanted.
fn prepare(
    mut opened: Opened,
    shared: &SharedMaps,
    instance: &Instance,
    pins: Option<&Path>,
    wanted: &HashSet<String>,
) -> Result<Opened, TracerError> {
    opened.configure(instance.bit, instance.number, &instance.params)?;
    let by_container: HashSet<&str> = opened.metrics.iter().map(|m| m.map.as_str()).collect();
    let mut failed = None;
    for mut map in opened.object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        // Where things are pinned is ours to say, not the object's.
        // SAFETY: the map belongs to `opened`, which is borrowed; no path means none.
        unsafe { libbpf_sys::bpf_map__set_pin_path(map.as_libbpf_object().as_ptr(), std::ptr::null()) };
        let array = matches!(map.map_type(), MapType::Array | MapType::PercpuArray);
        let result = if let Some(fd) = shared.get(&name) {
            map.reuse_fd(fd)
        } else if !is_own(&name) {
            Ok(())
        } else if !is_identifier(&name) || name == "links" {
            failed.get_or_insert(format!("map {name:?}: not a name a map may have"));
            Ok(())
        } else if let Some(kept) = pins.and_then(|p| MapHandle::from_pinned_path(p.join(&name)).ok()) {
            map.reuse_fd(kept.as_fd())
        } else {
            let sized = name == "remora_stats" || array && by_container.contains(name.as_str());
            if sized { map.set_max_entries(shared.containers) } else { Ok(()) }
        };
        if let Err(e) = result {
            failed.get_or_insert(format!("map {name}: {e}"));
        }
    }
    if let Some(why) = failed {
        return Err(TracerError { verb: "load", origin: opened.file.origin.clone(), why });
    }
    for mut prog in opened.object.progs_mut() {
        let wanted = wanted.contains(&*prog.name().to_string_lossy());
        prog.set_autoload(wanted);
    }
    Ok(opened)
}

/// Not one of a data section, nor the scope's.
fn is_own(map: &str) -> bool {
    !map.contains('.') && !SharedMaps::has(map)
}

fn load(opened: Opened) -> Result<Object, TracerError> {
    let origin = opened.file.origin.clone();
    with_log(|| opened.object.load().map_err(|e| e.to_string())).map_err(|why| TracerError {
        verb: "load",
        origin,
        why,
    })
}

/// An unscoped program would look at the whole node: the kernel's own list of its maps must have the scope's.
fn check_scoped(prog: BorrowedFd<'_>, shared: &SharedMaps) -> Result<(), String> {
    let mut ids = [0u32; 64];
    // SAFETY: plain data, for which zeroes are valid.
    let mut info: libbpf_sys::bpf_prog_info = unsafe { std::mem::zeroed() };
    info.nr_map_ids = ids.len() as u32;
    info.map_ids = ids.as_mut_ptr() as u64;
    let mut len = size_of_val(&info) as u32;
    let at: *mut libbpf_sys::bpf_prog_info = &mut info;
    // SAFETY: `info` and `ids` outlive the call and are as long as it is told.
    let rc = unsafe { libbpf_sys::bpf_obj_get_info_by_fd(prog.as_raw_fd(), at.cast(), &mut len) };
    if rc != 0 {
        return Err(format!("cannot be inspected: {}", std::io::Error::last_os_error()));
    }
    if ids[..(info.nr_map_ids as usize).min(ids.len())].contains(&shared.containers_id) {
        return Ok(());
    }
    Err("does not ask whose event it is: begin with remora_container() or one of its kin".into())
}

/// Whether the programs of this type report per container by being attached to its cgroup.
pub fn is_cgroup(ty: ProgramType) -> bool {
    matches!(
        ty,
        ProgramType::CgroupSkb
            | ProgramType::CgroupSock
            | ProgramType::CgroupSockAddr
            | ProgramType::CgroupSockopt
            | ProgramType::SockOps
    )
}
