//! Who is in scope, as the kernel sees it. The only writer of the scope's maps, but for `scope.bpf.c`, which
//! inherits and removes in the kernel. Called by the registry alone.

pub mod abi;
pub mod mapped;
mod shared;

use std::{path::Path, sync::Arc, sync::atomic::Ordering::*};

use libbpf_rs::{MapCore, MapFlags, MapHandle, Object};

use crate::tracer::links::Held;
use abi::{Container, SLOTS, Slot};
use mapped::Mapped;
pub use shared::{ScopeError, SharedMaps, map_id};

#[derive(Debug)]
pub struct Scope {
    object: Object,
    pub shared: Arc<SharedMaps>,
    slots: Mapped<Slot>,
    containers: Arc<Mapped<Container>>,
    members: MapHandle,
    links: Vec<Held>,
    pins: Option<std::path::PathBuf>,
}

impl Scope {
    /// Makes the shared maps, or takes over those pinned below `pins` by an earlier daemon.
    pub fn open(
        containers: u32,
        nested: u32,
        ring_bytes: u32,
        pins: Option<&Path>,
    ) -> Result<Self, ScopeError> {
        let (object, shared) = shared::load(containers, nested, ring_bytes, pins)?;
        let fail = |verb, cause: &dyn std::fmt::Display| ScopeError::new(verb, "map", cause);
        let slots = shared.handle("remora_slots")?;
        let slots = Mapped::new(slots, SLOTS as usize).map_err(|e| fail("map into memory", &e))?;
        let table = shared.handle("remora_containers")?;
        let table =
            Mapped::new(table, shared.containers as usize).map_err(|e| fail("map into memory", &e))?;
        let members = MapHandle::try_from(shared.handle("remora_scope")?).map_err(|e| fail("share", &e))?;
        let pins = pins.map(Path::to_owned);
        Ok(Self { object, shared, slots, containers: Arc::new(table), members, links: Vec::new(), pins })
    }

    /// The containers' table, for the reader to give back what it has read.
    pub fn containers(&self) -> Arc<Mapped<Container>> {
        self.containers.clone()
    }

    /// Attaches the programs that follow cgroups. Before any tracer, and while anybody is in scope.
    pub fn attach(&mut self) -> Result<(), ScopeError> {
        if !self.links.is_empty() {
            return Ok(());
        }
        let programs: Vec<String> =
            self.object.progs().map(|p| p.name().to_string_lossy().into_owned()).collect();
        let mut links = Vec::new();
        for program in programs {
            let pin = self.pins.as_ref().map(|p| p.join("links").join(&program));
            let held = Held::new(&self.object, &program, None, pin.as_deref());
            links.push(held.map_err(|e| ScopeError::new("attach", &program, &e))?);
        }
        self.links = links;
        Ok(())
    }

    /// Whether an earlier daemon left links.
    pub fn is_left_attached(&self) -> bool {
        let links = self.pins.as_ref().and_then(|p| std::fs::read_dir(p.join("links")).ok());
        links.is_some_and(|mut l| l.next().is_some())
    }

    pub fn is_attached(&self) -> bool {
        !self.links.is_empty()
    }

    /// The links, to be dropped where waiting does no harm.
    pub fn detach(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.links)
    }

    /// A place for one more container.
    pub fn free_index(&self) -> Option<u32> {
        self.containers.iter().position(|c| c.root.load(Relaxed) == 0).map(|i| i as u32)
    }

    /// Fills a container's place; nobody is in scope by that alone. `init` is the pid whose first exec begins
    /// the container's own life, 0 if that has been.
    pub fn fill(&self, index: u32, root: u64, tracers: u64, init: u32) {
        let c = &self.containers[index as usize];
        c.index.store(index, Relaxed);
        c.gone.store(0, Relaxed);
        c.entering.store(0, Relaxed);
        c.escaped.store(0, Relaxed);
        c.init.store(init, Relaxed);
        c.tracers.store(tracers, Relaxed);
        c.root.store(root, Release);
    }

    /// Whose first exec is still to come, as the kernel sees it.
    pub fn init_of(&self, index: u32) -> u32 {
        self.containers[index as usize].init.load(Acquire)
    }

    /// Whose first exec begins the container's own life; 0: that has been.
    pub fn set_init(&self, index: u32, pid: u32) {
        self.containers[index as usize].init.store(pid, Release);
    }

    /// Which tracers report for this container from now on; one store, seen by all processors.
    pub fn set_tracers(&self, index: u32, tracers: u64) {
        self.containers[index as usize].tracers.store(tracers, Release);
    }

    /// These tracers report no more for this container.
    pub fn clear_tracers(&self, index: u32, bits: u64) {
        self.containers[index as usize].tracers.fetch_and(!bits, Release);
    }

    /// Brings a cgroup into scope: first the entry that children inherit, then the fast table.
    pub fn admit(&self, cgroup: u64, index: u32) -> Result<(), ScopeError> {
        let put = self.members.update(&cgroup.to_ne_bytes(), &index.to_ne_bytes(), MapFlags::ANY);
        put.map_err(|e| ScopeError::new("insert", &format!("cgroup {cgroup}"), &e))?;
        let slot = &self.slots[(cgroup % u64::from(SLOTS)) as usize];
        let taken = slot.cgroup.load(Relaxed);
        if taken == 0 || taken == cgroup {
            slot.container.store(index, Relaxed);
            slot.cgroup.store(cgroup, Release);
        } else {
            slot.shared.store(1, Release);
        }
        Ok(())
    }

    /// Takes a container and all its cgroups out of scope. Its place may then be given to another.
    pub fn remove(&self, index: u32) {
        for cgroup in self.members_of(index) {
            let _ = self.members.delete(&cgroup.to_ne_bytes());
        }
        for slot in self.slots.iter().filter(|s| s.container.load(Relaxed) == index) {
            slot.cgroup.store(0, Release);
        }
        let c = &self.containers[index as usize];
        c.tracers.store(0, Relaxed);
        c.root.store(0, Release);
    }

    /// How many cgroups are in scope, and for how many there is room.
    pub fn entries(&self) -> (usize, u32) {
        (self.members.keys().count(), self.members.max_entries())
    }

    fn members_of(&self, index: u32) -> Vec<u64> {
        let of = |key: &Vec<u8>| {
            let value = self.members.lookup(key, MapFlags::ANY).ok().flatten()?;
            (value == index.to_ne_bytes())
                .then(|| u64::from_ne_bytes(key.as_slice().try_into().unwrap_or_default()))
        };
        self.members.keys().filter_map(|k| of(&k)).collect()
    }

    /// Leaves links and maps pinned for the daemon that comes next.
    pub fn leave(mut self) {
        self.links.drain(..).for_each(Held::leave);
    }
}
