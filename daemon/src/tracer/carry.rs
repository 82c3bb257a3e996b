//! Maps that an object leaves to the one that takes its place: counters go on, and what is under way is known to
//! both. A map is taken over where its shape is the same.

use std::collections::{BTreeMap, HashMap};

use libbpf_rs::{
    AsRawLibbpf, MapCore, MapHandle, OpenObject,
    btf::{Btf, BtfKind, BtfType, TypeId, types},
};

use super::kind;

/// By map: type, room, and the layout of key and value in words.
pub type Shapes = BTreeMap<String, String>;

/// How deep a value may nest before its shape is no longer told apart.
const DEPTH: usize = 12;

#[derive(Debug, Default)]
pub struct Carry(HashMap<String, (MapHandle, String)>);

impl Carry {
    pub fn put(&mut self, name: &str, map: MapHandle, shape: &str) {
        // A daemon that died while it replaced one may have left another map under this name.
        if shape.starts_with(&sizes(map.key_size(), map.value_size())) {
            self.0.insert(name.to_owned(), (map, shape.to_owned()));
        }
    }

    /// The map of this name, if it has this shape.
    pub fn get(&self, name: &str, shape: Option<&String>) -> Option<&MapHandle> {
        self.0.get(name).filter(|(_, theirs)| Some(theirs) == shape).map(|(map, _)| map)
    }
}

pub fn shapes(object: &OpenObject, btf: &Btf<'_>) -> Shapes {
    let shape = |m: libbpf_rs::OpenMap<'_>| {
        let map = m.as_libbpf_object().as_ptr();
        // SAFETY: the map belongs to `object`, which is borrowed.
        let (key, value, flags) = unsafe {
            (
                libbpf_sys::bpf_map__btf_key_type_id(map),
                libbpf_sys::bpf_map__btf_value_type_id(map),
                libbpf_sys::bpf_map__map_flags(map),
            )
        };
        let [key, value] = [key, value].map(|id| layout(btf, TypeId::from(id), DEPTH));
        let sizes = sizes(m.key_size(), m.value_size());
        let shape = format!("{sizes}{:?} {} {flags} [{key}] [{value}]", m.map_type(), m.max_entries());
        (m.name().to_string_lossy().into_owned(), shape)
    };
    object.maps().map(shape).collect()
}

fn sizes(key: u32, value: u32) -> String {
    format!("{key} {value} ")
}

/// A type in words: what two compilations of the same layout have in common.
fn layout(btf: &Btf<'_>, id: TypeId, depth: usize) -> String {
    let Some(ty) = btf.type_by_id::<BtfType<'_>>(id).filter(|_| depth > 0 && u32::from(id) != 0) else {
        return "?".into();
    };
    let name = ty.name().unwrap_or_default().to_string_lossy().into_owned();
    match ty.kind() {
        BtfKind::Typedef if name.starts_with("remora_") => name,
        BtfKind::Typedef | BtfKind::Const | BtfKind::Volatile | BtfKind::TypeTag => {
            ty.next_type().map_or_else(|| "?".into(), |next| layout(btf, next.type_id(), depth - 1))
        }
        BtfKind::Struct => match types::Struct::try_from(ty) {
            Ok(ty) => format!("{{{}}}", members(btf, &ty, depth)),
            Err(_) => "?".into(),
        },
        BtfKind::Array => match types::Array::try_from(ty) {
            Ok(a) => format!("{}*{}", a.capacity(), layout(btf, a.contained_type().type_id(), depth - 1)),
            Err(_) => "?".into(),
        },
        other => format!("{other:?}{} {name}", kind::size_of(&ty).unwrap_or_default()),
    }
}

fn members(btf: &Btf<'_>, ty: &types::Struct<'_>, depth: usize) -> String {
    let member = |m: types::StructMember<'_>| {
        let name = m.name.unwrap_or_default().to_string_lossy();
        format!("{name}@{:?}:{}", m.attr, layout(btf, m.ty, depth - 1))
    };
    ty.iter().map(member).collect::<Vec<_>>().join(",")
}
