//! Opened: libbpf has parsed the object, and what it says of itself is understood in full or refused by name.

use std::{collections::HashMap, sync::Arc};

use libbpf_rs::{
    AsRawLibbpf, ObjectBuilder, OpenObject,
    btf::{Btf, TypeId, types},
};
use thiserror::Error;

use super::carry::{self, Shapes};
use super::contract::{Description, Program, RESERVED, Tags, is_identifier, valid_name};
use super::files::FileMetric;
use super::metric::{MetricMap, RawMap};
use super::params::{self, Values};
use super::{ObjectFile, kernel, plan::EventPlan, refresh, sample, table::TablePlan};
use crate::scope::abi;

#[derive(Debug, Error)]
#[error("failed to {verb} tracer {origin}: {why}")]
pub struct TracerError {
    pub verb: &'static str,
    pub origin: String,
    pub why: String,
}

#[derive(Debug)]
pub struct Opened {
    pub object: OpenObject,
    pub read: Read,
}

/// What an object says of itself, understood.
#[derive(Debug)]
pub struct Read {
    pub file: ObjectFile,
    pub description: Description,
    pub events: HashMap<u32, Arc<EventPlan>>,
    pub metrics: Vec<Arc<MetricMap>>,
    pub files: Arc<Vec<FileMetric>>,
    pub tables: Vec<Arc<TablePlan>>,
    pub shapes: Shapes,
    /// Where `remora_self` is in the read-only data.
    self_at: usize,
}

impl Opened {
    pub fn open(file: &ObjectFile) -> Result<Self, TracerError> {
        let _hold = kernel::hold();
        let refused = |why: String| TracerError { verb: "open", origin: file.origin.clone(), why };
        let object = open_object(file).map_err(refused)?;
        let read = {
            let btf = object_btf(&object).map_err(refused)?;
            read(file, &object, &btf).map_err(refused)?
        };
        Ok(Self { object, read })
    }

    /// Writes who the object is, and its parameters, into its read-only data.
    pub fn configure(&mut self, bit: u32, tracer: u32, values: &Values) -> Result<(), TracerError> {
        let refused =
            |why: String| Err(TracerError { verb: "configure", origin: self.read.file.origin.clone(), why });
        let values = match params::fit(&self.read.description.params, values) {
            Ok(values) => values,
            Err(why) => return refused(why),
        };
        let Some(mut map) = self.object.maps_mut().find(|m| is_rodata(&m.name().to_string_lossy())) else {
            return refused("no read-only data".into());
        };
        let Some(data) = map.initial_value_mut() else { return refused("no read-only data".into()) };
        let me = abi::self_bytes(bit, tracer);
        data[self.read.self_at..self.read.self_at + me.len()].copy_from_slice(&me);
        params::write_fixed(&self.read.description.params, &values, data);
        Ok(())
    }
}

pub fn open_object(file: &ObjectFile) -> Result<OpenObject, String> {
    super::log::with_log(|| {
        ObjectBuilder::default()
            .name("remora")
            .and_then(|b| b.open_memory(&file.bytes()))
            .map_err(|e| e.to_string())
    })
}

fn object_btf(object: &OpenObject) -> Result<Btf<'_>, String> {
    // SAFETY: the object lives as long as the borrow of `object`.
    let raw = unsafe { object.as_libbpf_object().as_ref() };
    Btf::from_bpf_object(raw)
        .map_err(|e| e.to_string())?
        .ok_or_else(|| "it has no BTF: compile with -g".to_owned())
}

fn read(file: &ObjectFile, object: &OpenObject, btf: &Btf<'_>) -> Result<Read, String> {
    let tags = Tags::read(btf)?;
    let (var, name) = itself(btf, &tags)?;
    let tracer: Arc<str> = name.clone().into();
    let offsets = rodata(btf);
    let self_at = *offsets.get(&u32::from(var)).ok_or("remora_self is not in its read-only data")?;
    check_abi(object, self_at)?;
    let mut events = HashMap::new();
    for ty in btf.type_by_kind::<types::Struct<'_>>() {
        if tags.has(ty.type_id(), None, "event") {
            let plan = EventPlan::compile(btf, &tags, &ty, &tracer)?;
            if events.values().any(|p: &Arc<EventPlan>| p.name == plan.name) {
                return Err(format!("two structs are event {}", plan.name));
            }
            events.insert(plan.type_id, Arc::new(plan));
        }
    }
    let (mut metrics, mut tables) = (Vec::new(), Vec::<Arc<TablePlan>>::new());
    let maps = raw_maps(object);
    for map in &maps {
        if let Some(plan) = MetricMap::compile(btf, &tags, &name, map)? {
            metrics.push(Arc::new(plan));
        }
        if let Some(plan) = TablePlan::compile(btf, &tags, &tracer, map)? {
            if tables.iter().any(|t| t.name == plan.name) {
                return Err(format!("two maps are table {}", plan.name));
            }
            tables.push(Arc::new(plan));
        }
    }
    let files = FileMetric::compile(btf, &tags, &name)?;
    let counted = metrics.iter().flat_map(|m| &m.metrics);
    let mut names: Vec<&str> =
        counted.chain(files.iter().map(|f| &f.metric)).map(|m| m.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
        return Err(format!("two members are metric {}", twice[0]));
    }
    let mut description = Description {
        help: tags.text(var, None, "help").unwrap_or_default().to_owned(),
        groups: groups(tags.text(var, None, "group").unwrap_or_default()),
        params: params::read(object, btf, &tags, &rodata_bytes(object), &offsets)?,
        programs: programs(object, btf, &tags, &maps)?,
        metrics: metrics
            .iter()
            .flat_map(|m| m.describe())
            .chain(files.iter().map(FileMetric::describe))
            .collect(),
        tables: tables.iter().map(|t| t.describe()).collect(),
        ..Description::default()
    };
    let mut sorted: Vec<&Arc<EventPlan>> = events.values().collect();
    sorted.sort_by_key(|p| p.type_id);
    description.events = sorted.into_iter().map(|p| p.describe()).collect();
    description.name = name;
    if description.programs.is_empty() && files.is_empty() {
        return Err("it has no program".into());
    }
    Ok(Read {
        file: file.clone(),
        description,
        events,
        metrics,
        files: Arc::new(files),
        tables,
        shapes: carry::shapes(object, btf),
        self_at,
    })
}

/// The variable that carries the tracer's own tags, and its name.
fn itself(btf: &Btf<'_>, tags: &Tags) -> Result<(TypeId, String), String> {
    let tagged = |v: &types::Var<'_>| Some((v.type_id(), tags.text(v.type_id(), None, "tracer")?.to_owned()));
    let (id, name) = btf
        .type_by_kind::<types::Var<'_>>()
        .find_map(|v| tagged(&v))
        .ok_or("it does not say what it is: REMORA_TRACER(name, groups, help) of remora.bpf.h is missing")?;
    if !valid_name(&name) {
        return Err(format!("tracer name {name:?} is not [a-z][a-z0-9_]*"));
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(format!("the tracer name {name} is reserved"));
    }
    Ok((id, name))
}

fn groups(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|g| !g.is_empty()).map(str::to_owned).collect()
}

/// Offsets of the variables in the read-only data, by BTF id.
fn rodata(btf: &Btf<'_>) -> HashMap<u32, usize> {
    let sections = btf.type_by_kind::<types::DataSec<'_>>();
    let mine = sections.filter(|s| s.name().is_some_and(|n| n == ".rodata"));
    let mut out = HashMap::new();
    for section in mine {
        for i in 0..section.len() {
            let var = section.get(i).expect("below len");
            out.insert(u32::from(var.ty), var.offset as usize);
        }
    }
    out
}

fn is_rodata(map: &str) -> bool {
    map.ends_with(".rodata")
}

fn rodata_bytes(object: &OpenObject) -> Vec<u8> {
    let map = object.maps().find(|m| is_rodata(&m.name().to_string_lossy()));
    map.and_then(|m| m.initial_value().map(<[u8]>::to_vec)).unwrap_or_default()
}

fn check_abi(object: &OpenObject, self_at: usize) -> Result<(), String> {
    let data = rodata_bytes(object);
    let bytes = data.get(self_at + 12..self_at + 16).ok_or("remora_self is cut short")?;
    let built = u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
    if built == abi::ABI {
        return Ok(());
    }
    Err(format!("built with remora.bpf.h of contract {built}, this daemon has {}", abi::ABI))
}

fn raw_maps(object: &OpenObject) -> Vec<RawMap> {
    let raw = |m: libbpf_rs::OpenMap<'_>| {
        let map = m.as_libbpf_object().as_ptr();
        // SAFETY: the map belongs to `object`, which is borrowed.
        let (key, value) = unsafe {
            (libbpf_sys::bpf_map__btf_key_type_id(map), libbpf_sys::bpf_map__btf_value_type_id(map))
        };
        RawMap {
            name: m.name().to_string_lossy().into_owned(),
            key: TypeId::from(key),
            value: TypeId::from(value),
            key_size: m.key_size() as usize,
            value_size: m.value_size() as usize,
            map_type: m.map_type(),
        }
    };
    let all = object.maps().map(raw);
    all.filter(|m| !m.name.starts_with("remora_") && !m.name.contains('.')).collect()
}

fn programs(
    object: &OpenObject,
    btf: &Btf<'_>,
    tags: &Tags,
    maps: &[RawMap],
) -> Result<Vec<Program>, String> {
    let name_of = |f: types::Func<'_>| Some((f.name()?.to_string_lossy().into_owned(), f.type_id()));
    let funcs: HashMap<_, _> = btf.type_by_kind::<types::Func<'_>>().filter_map(name_of).collect();
    let mut out = Vec::new();
    for prog in object.progs() {
        let name = prog.name().to_string_lossy().into_owned();
        if !is_identifier(&name) {
            return Err(format!("program {name:?}: not an identifier"));
        }
        let func = funcs.get(&name).copied();
        let tag = |word| func.and_then(|id| tags.text(id, None, word));
        let oneof = match tag("oneof").map(|t| t.split_once(' ')) {
            None => None,
            Some(Some((group, rank))) if rank.parse::<u32>().is_ok() => {
                Some((group.to_owned(), rank.parse().expect("just parsed")))
            }
            Some(_) => return Err(format!("program {name}: oneof needs a group and a rank")),
        };
        let section = prog.section().to_string_lossy().into_owned();
        let sample = sample_of(&section, tag("sample")).map_err(|e| format!("program {name}: {e}"))?;
        let refresh = tag("refresh").map(str::to_owned);
        check_refresh(&section, refresh.as_deref(), maps).map_err(|e| format!("program {name}: {e}"))?;
        out.push(Program { section, sample, refresh, optional: tag("optional").is_some(), oneof, name });
    }
    Ok(out)
}

/// A program that runs over a map says over which, and it is one of the tracer's own.
fn check_refresh(section: &str, map: Option<&str>, maps: &[RawMap]) -> Result<(), String> {
    match (section == refresh::SECTION, map) {
        (false, None) => Ok(()),
        (true, Some(map)) if maps.iter().any(|m| m.name == map) => Ok(()),
        (true, Some(map)) => Err(format!("refresh: the tracer has no map {map}")),
        (true, None) => Err("it does not say which map it refreshes: REMORA_REFRESH(map)".into()),
        (false, Some(_)) => Err(format!("refresh is for programs in SEC(\"{}\")", refresh::SECTION)),
    }
}

/// A program that runs by the clock says how often.
fn sample_of(section: &str, tag: Option<&str>) -> Result<Option<u32>, String> {
    match (section == sample::SECTION, tag) {
        (false, None) => Ok(None),
        (true, Some(text)) => sample::parse(text).map(Some),
        (true, None) => Err("it does not say how often it runs: REMORA_SAMPLE(hertz)".into()),
        (false, Some(_)) => Err(format!("sample is for programs in SEC(\"{}\")", sample::SECTION)),
    }
}
