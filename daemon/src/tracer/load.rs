//! Loaded: in the kernel, sharing the scope's maps, every program shown to look at the scope. Not yet attached.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::Path,
    sync::Arc,
};

use libbpf_rs::{AsRawLibbpf, MapCore, MapFlags, MapHandle, MapMut, MapType, Object, ProgramType};

use super::carry::{Carry, Shapes};
use super::contract::{Program, is_identifier};
use super::files::FileMetric;
use super::kernel;
use super::links::{self, Attach};
use super::log::with_log;
use super::metric::MetricMap;
use super::open::{Opened, Read, TracerError};
use super::params::{self, Values};
use super::{
    ObjectFile, contract::Description, plan::EventPlan, refresh::Refreshes, stack, table::TablePlan,
};
use crate::scope::abi::Stats;
use crate::scope::mapped::Mapped;
use crate::scope::{SharedMaps, map_id};

/// Who a loaded object is.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Bit in the containers' mask.
    pub bit: u32,
    /// `head.tracer` of its records; never used twice while the ring lives.
    pub number: u32,
    /// Those that are fixed while it is loaded.
    pub params: Values,
}

#[derive(Debug)]
pub struct Loaded {
    origin: String,
    pub object: Object,
    pub description: Arc<Description>,
    pub events: Arc<HashMap<u32, Arc<EventPlan>>>,
    pub metrics: Vec<Source>,
    /// In files of the containers' cgroups.
    pub files: Arc<Vec<FileMetric>>,
    pub tables: Vec<Table>,
    pub refreshes: Arc<Refreshes>,
    pub stats: Arc<Mapped<Stats>>,
    /// The parameters of each container, if it has any.
    own_params: Option<MapHandle>,
    shapes: Shapes,
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

/// A table that can be read.
#[derive(Debug, Clone)]
pub struct Table {
    pub plan: Arc<TablePlan>,
    pub map: Arc<MapHandle>,
    /// Where the addresses of its stacks are, if it has any.
    pub stacks: Option<Arc<MapHandle>>,
}

impl Loaded {
    /// Loads with the first program of each group that this kernel takes, on what maps there are of an object
    /// before it.
    pub fn load(
        file: &ObjectFile,
        shared: &SharedMaps,
        instance: Instance,
        carry: &Carry,
    ) -> Result<Self, TracerError> {
        let _hold = kernel::hold();
        let opened = Opened::open(file)?;
        let mut set = Set::first(&opened)?;
        let (object, opened) = match prepare(opened, shared, &instance, carry, &set.chosen).and_then(load) {
            Ok(loaded) => loaded,
            Err(first) => {
                // Which program was it? Each alternative is tried for itself.
                let known = set.refused.len();
                set = set.tried(file, shared, &instance)?;
                if set.refused.len() == known {
                    return Err(first);
                }
                load(prepare(Opened::open(file)?, shared, &instance, carry, &set.chosen)?)?
            }
        };
        Self::finish(object, opened, shared, instance, set)
    }

    /// Pins its own maps, in the place of others of their names.
    pub fn pin(&mut self, dir: &Path) -> Result<(), TracerError> {
        let origin = self.origin.clone();
        for mut map in self.object.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            if is_own(&name) {
                let fail = |why| TracerError { verb: "pin", origin: origin.clone(), why };
                pin(&mut map, &dir.join(&name)).map_err(|e| fail(format!("map {name}: {e}")))?;
            }
        }
        Ok(())
    }

    /// The shapes of its own maps.
    pub fn own_shapes(&self) -> Shapes {
        self.shapes.iter().filter(|(name, _)| is_own(name)).map(|(n, s)| (n.clone(), s.clone())).collect()
    }

    /// Its own maps, for the object that takes its place.
    pub fn carry(&self) -> Carry {
        let mut carry = Carry::default();
        for map in self.object.maps() {
            let name = map.name().to_string_lossy().into_owned();
            if let (true, Some(shape), Ok(map)) =
                (is_own(&name), self.shapes.get(&name), MapHandle::try_from(&map))
            {
                carry.put(&name, map, shape);
            }
        }
        carry
    }

    /// Writes a container's parameters; later layers win.
    pub fn set_params(&self, index: u32, layers: &[&Values]) -> Result<(), String> {
        let Some(map) = &self.own_params else { return Ok(()) };
        let value = params::of_container(&self.description.params, layers, map.value_size() as usize);
        let put = map.update(&index.to_ne_bytes(), &value, MapFlags::ANY);
        put.map_err(|e| format!("failed to set parameters of tracer {}: {e}", self.description.name))
    }

    fn finish(
        object: Object,
        opened: Read,
        shared: &SharedMaps,
        instance: Instance,
        Set { chosen: names, refused }: Set,
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
        let own_params = map(params::MAP).map(|m| MapHandle::try_from(&m)).transpose();
        let own_params = own_params.map_err(|e| fail(e.to_string()))?;
        let handle = |name: &str| {
            let handle = map(name).map(|m| MapHandle::try_from(&m));
            let handle = handle.ok_or_else(|| fail(format!("map {name} is missing")))?;
            Ok(Arc::new(handle.map_err(|e| fail(e.to_string()))?))
        };
        let (mut metrics, mut tables) = (Vec::new(), Vec::new());
        for plan in &opened.metrics {
            metrics.push(Source { plan: plan.clone(), map: handle(&plan.map)? });
        }
        for plan in &opened.tables {
            let stacks = plan.stacks.as_ref().map(|_| handle(stack::MAP)).transpose()?;
            if stacks.as_ref().is_some_and(|m| m.map_type() != MapType::StackTrace) {
                return Err(fail(format!("map {} is not made by REMORA_STACKS()", stack::MAP)));
            }
            tables.push(Table { plan: plan.clone(), map: handle(&plan.map)?, stacks });
        }
        let mut refreshes = Refreshes::default();
        for program in opened.description.programs.iter().filter(|p| names.contains(&p.name)) {
            let Some(map) = &program.refresh else { continue };
            let added = refreshes.add(&object, &program.name, map);
            added.map_err(|e| fail(format!("program {}: {e}", program.name)))?;
        }
        Ok(Self {
            description: Arc::new(opened.description),
            events: Arc::new(opened.events),
            metrics,
            files: opened.files,
            tables,
            refreshes: Arc::new(refreshes),
            stats: Arc::new(stats),
            own_params,
            shapes: opened.shapes,
            origin: opened.file.origin.clone(),
            instance,
            chosen,
            refused,
            object,
        })
    }
}

/// The programs to load, and why not the others.
struct Set {
    chosen: HashSet<String>,
    refused: Vec<(String, String)>,
}

impl Set {
    /// Everything that stands alone, and the first of each group that this kernel may take.
    fn first(opened: &Opened) -> Result<Self, TracerError> {
        let mut set = Self { chosen: HashSet::new(), refused: Vec::new() };
        let programs = &opened.read.description.programs;
        for program in programs.iter().filter(|p| p.optional || p.oneof.is_some()) {
            if let Some(why) = kernel::refuses(&program.section) {
                set.refused.push((program.name.clone(), why));
            }
        }
        let mut best: BTreeMap<&str, Option<&Program>> = BTreeMap::new();
        for program in programs {
            let open = !set.is_refused(&program.name);
            match &program.oneof {
                None if open => drop(set.chosen.insert(program.name.clone())),
                None => {}
                Some((group, _)) => {
                    let best = best.entry(group).or_default();
                    if open && best.is_none_or(|b| rank(b) > rank(program)) {
                        *best = Some(program);
                    }
                }
            }
        }
        for (group, best) in best {
            let best = best.ok_or_else(|| set.none(&opened.read.file, group))?;
            set.chosen.insert(best.name.clone());
        }
        Ok(set)
    }

    /// Tries each program that may be refused: it must load and, where that costs nothing, attach.
    fn tried(
        mut self,
        file: &ObjectFile,
        shared: &SharedMaps,
        instance: &Instance,
    ) -> Result<Self, TracerError> {
        let mut programs = Opened::open(file)?.read.description.programs;
        programs.retain(|p| (p.optional || p.oneof.is_some()) && !self.is_refused(&p.name));
        programs.sort_by_key(rank);
        let mut groups: BTreeMap<String, bool> = BTreeMap::new();
        for program in programs {
            self.chosen.remove(&program.name);
            let group = program.oneof.as_ref().map(|(g, _)| g.clone());
            if group.as_ref().is_some_and(|g| groups.get(g) == Some(&true)) {
                continue;
            }
            let only = HashSet::from([program.name.clone()]);
            let tried =
                prepare(Opened::open(file)?, shared, instance, &Carry::default(), &only).and_then(load);
            let tried = tried.map_err(|e| e.why).and_then(|(o, _)| links::try_attach(&o, &program.name));
            if let Some(group) = group {
                *groups.entry(group).or_default() |= tried.is_ok();
            }
            match tried {
                Ok(()) => drop(self.chosen.insert(program.name)),
                Err(why) => self.refused.push((program.name, last_line(&why))),
            }
        }
        match groups.iter().find(|(_, taken)| !**taken) {
            Some((group, _)) => Err(self.none(file, group)),
            None => Ok(self),
        }
    }

    fn is_refused(&self, program: &str) -> bool {
        self.refused.iter().any(|(name, _)| name == program)
    }

    fn none(&self, file: &ObjectFile, group: &str) -> TracerError {
        let why = self.refused.iter().map(|(n, w)| format!("{n}: {w}")).collect::<Vec<_>>().join("; ");
        let why = format!("this kernel takes none of the programs for {group}: {why}");
        TracerError { verb: "load", origin: file.origin.clone(), why }
    }
}

fn rank(program: &Program) -> u32 {
    program.oneof.as_ref().map_or(0, |(_, rank)| *rank)
}

fn last_line(text: &str) -> String {
    text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or_default().to_owned()
}

/// Hands over the shared maps, sizes the tracer's own, and says which programs are wanted.
fn prepare(
    mut opened: Opened,
    shared: &SharedMaps,
    instance: &Instance,
    carry: &Carry,
    wanted: &HashSet<String>,
) -> Result<Opened, TracerError> {
    opened.configure(instance.bit, instance.number, &instance.params)?;
    let by_container: HashSet<&str> = opened.read.metrics.iter().map(|m| m.map.as_str()).collect();
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
        } else if let Some(before) = carry.get(&name, opened.read.shapes.get(&name)) {
            map.reuse_fd(before.as_fd())
        } else {
            let sized = name == "remora_stats"
                || name == params::MAP
                || array && by_container.contains(name.as_str());
            if sized { map.set_max_entries(shared.containers) } else { Ok(()) }
        };
        if let Err(e) = result {
            failed.get_or_insert(format!("map {name}: {e}"));
        }
    }
    if let Some(why) = failed {
        return Err(TracerError { verb: "load", origin: opened.read.file.origin.clone(), why });
    }
    for mut prog in opened.object.progs_mut() {
        let wanted = wanted.contains(&*prog.name().to_string_lossy());
        prog.set_autoload(wanted);
    }
    Ok(opened)
}

/// Replaces a pin of another map; that map lives on with whoever uses it.
fn pin(map: &mut MapMut<'_>, path: &Path) -> Result<(), String> {
    let id = |fd: BorrowedFd<'_>| map_id(fd).map_err(|e| e.to_string());
    if let Ok(there) = MapHandle::from_pinned_path(path) {
        if id(there.as_fd())? == id(map.as_fd())? {
            return Ok(());
        }
        std::fs::remove_file(path).map_err(|e| e.to_string())?;
    }
    map.pin(path).map_err(|e| e.to_string())
}

/// Not one of a data section, nor the scope's.
fn is_own(map: &str) -> bool {
    !map.contains('.') && !SharedMaps::has(map)
}

/// The object, and what it said of itself.
fn load(opened: Opened) -> Result<(Object, Read), TracerError> {
    let Opened { object, read } = opened;
    match with_log(|| object.load().map_err(|e| e.to_string())) {
        Ok(object) => Ok((object, read)),
        Err(why) => Err(TracerError { verb: "load", origin: read.file.origin, why }),
    }
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
