//! Parameters: what a tracer lets be set, with type and range from its own description. Some are fixed while an
//! object is loaded (`const volatile` data), some each container may have for itself (the map `remora_params`).

use std::collections::{BTreeMap, HashMap};

use libbpf_rs::{
    AsRawLibbpf, OpenObject,
    btf::{Btf, BtfType, TypeId, types},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::contract::Tags;
use super::kind;

/// The map of the tracer's own that holds a struct of parameters for each container.
pub const MAP: &str = "remora_params";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Given")]
pub enum ParamValue {
    Number(i64),
    Text(String),
}

/// As people and programs write it: in JSON, 5.0 is a whole number, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Number(i64),
    Float(f64),
    Text(String),
}

/// Up to here each whole number is a float of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl TryFrom<Given> for ParamValue {
    type Error = String;

    fn try_from(given: Given) -> Result<Self, String> {
        match given {
            Given::Number(n) => Ok(Self::Number(n)),
            Given::Float(n) if n.fract() == 0.0 && n.abs() <= EXACT => Ok(Self::Number(n as i64)),
            Given::Float(n) => Err(format!("{n} is no whole number, or too great a one")),
            Given::Text(text) => Ok(Self::Text(text)),
        }
    }
}

/// A count.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match ParamValue::deserialize(deserializer)? {
        ParamValue::Number(n) => {
            u64::try_from(n).map_err(|_| D::Error::custom(format!("{n} is less than nothing")))
        }
        text @ ParamValue::Text(_) => Err(D::Error::custom(format!("{text} is no number"))),
    }
}

/// By parameter.
pub type Values = BTreeMap<String, ParamValue>;

impl std::fmt::Display for ParamValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(t) => write!(f, "{t:?}"),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Param {
    pub name: String,
    pub help: String,
    /// Whether each container may have it for itself, and change it while it runs.
    pub per_container: bool,
    pub default: ParamValue,
    /// The least and the greatest value; of a text, bytes.
    pub min: i64,
    pub max: i64,
    #[serde(skip)]
    offset: usize,
    #[serde(skip)]
    size: usize,
}

impl Param {
    /// A value as annotations and command lines have it.
    pub fn parse(&self, text: &str) -> Result<ParamValue, String> {
        let value = match self.default {
            ParamValue::Text(_) => ParamValue::Text(text.to_owned()),
            ParamValue::Number(_) => {
                let number = text.parse().map_err(|_| self.refused(&format!("{text:?}, no number")))?;
                ParamValue::Number(number)
            }
        };
        self.admit(&value)?;
        Ok(value)
    }

    fn refused(&self, what: &str) -> String {
        format!("parameter {} is {what}, not {}", self.name, self.range())
    }

    /// What it may be, in words.
    pub fn range(&self) -> String {
        match self.default {
            ParamValue::Number(_) => format!("{} to {}", self.min, self.max),
            ParamValue::Text(_) => format!("a text of at most {} bytes", self.max),
        }
    }

    fn admit(&self, value: &ParamValue) -> Result<(), String> {
        let fits = match (&self.default, value) {
            (ParamValue::Number(_), ParamValue::Number(n)) => (self.min..=self.max).contains(n),
            (ParamValue::Text(_), ParamValue::Text(t)) => t.len() as i64 <= self.max && !t.contains('\0'),
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.refused(&value.to_string())) }
    }

    fn write(&self, value: &ParamValue, data: &mut [u8]) {
        let Some(to) = data.get_mut(self.offset..self.offset + self.size) else { return };
        match value {
            ParamValue::Number(n) => to.copy_from_slice(&n.to_ne_bytes()[..self.size]),
            ParamValue::Text(t) => {
                to.fill(0);
                to[..t.len()].copy_from_slice(t.as_bytes());
            }
        }
    }
}

/// The values as their parameters have them, a number in quotes being one too; the error names the first that
/// cannot be set.
pub fn fit(known: &[Param], values: &Values) -> Result<Values, String> {
    let one = |(name, value): (&String, &ParamValue)| {
        let param = find(known, name)?;
        let value = match (value, &param.default) {
            (ParamValue::Text(text), _) => param.parse(text)?,
            (ParamValue::Number(n), ParamValue::Text(_)) => param.parse(&n.to_string())?,
            (number, _) => {
                param.admit(number)?;
                number.clone()
            }
        };
        Ok((name.clone(), value))
    };
    values.iter().map(one).collect()
}

/// The parameter of this name.
pub fn find<'p>(known: &'p [Param], name: &str) -> Result<&'p Param, String> {
    known.iter().find(|p| p.name == name).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|p| p.name.as_str()).collect();
        let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("no parameter {name}; it has {has}")
    })
}

/// Of these values the ones that are fixed while an object is loaded.
pub fn fixed(known: &[Param], values: &Values) -> Values {
    let is_fixed = |name: &String| known.iter().any(|p| p.name == *name && !p.per_container);
    values.iter().filter(|(name, _)| is_fixed(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// Writes the fixed ones into an object's read-only data.
pub fn write_fixed(known: &[Param], values: &Values, data: &mut [u8]) {
    for param in known.iter().filter(|p| !p.per_container) {
        if let Some(value) = values.get(&param.name) {
            param.write(value, data);
        }
    }
}

/// A container's struct of parameters; later layers win.
pub fn of_container(known: &[Param], layers: &[&Values], size: usize) -> Vec<u8> {
    let mut data = vec![0; size];
    for param in known.iter().filter(|p| p.per_container) {
        let set = layers.iter().rev().find_map(|values| values.get(&param.name));
        param.write(set.unwrap_or(&param.default), &mut data);
    }
    data
}

/// Reads what can be set: tagged variables in the read-only data, and tagged members of the map's struct.
pub fn read(
    object: &OpenObject,
    btf: &Btf<'_>,
    tags: &Tags,
    rodata: &[u8],
    offsets: &HashMap<u32, usize>,
) -> Result<Vec<Param>, String> {
    let mut all = Vec::new();
    for var in btf.type_by_kind::<types::Var<'_>>() {
        let Some(text) = tags.text(var.type_id(), None, "param") else { continue };
        let name = var.name().unwrap_or_default().to_string_lossy().into_owned();
        let at = |why: String| format!("parameter {name}: {why}");
        let offset =
            *offsets.get(&u32::from(var.type_id())).ok_or_else(|| at("not const volatile".into()))?;
        let ty = btf.type_by_id::<BtfType<'_>>(var.type_id()).and_then(|v| v.next_type());
        let ty = ty.ok_or_else(|| at("has no type".into()))?;
        let size = integer(&ty).map_err(at)?;
        let bytes = rodata.get(offset..offset + size).ok_or_else(|| at("is cut short".into()))?;
        let mut default = [0; 8];
        default[..size].copy_from_slice(bytes);
        let text = format!("{} {text}", i64::from_ne_bytes(default));
        all.push(number(&name, &text, (offset, size), false).map_err(at)?);
    }
    if let Some(ty) = own_struct(object, btf) {
        for (i, member) in ty.iter().enumerate() {
            let Some(text) = tags.text(ty.type_id(), Some(i as u32), "param") else { continue };
            let name = member.name.unwrap_or_default().to_string_lossy().into_owned();
            let types::MemberAttr::Normal { offset } = member.attr else {
                return Err(format!("parameter {name}: bit field"));
            };
            all.push(
                own(btf, &name, text, member.ty, offset as usize / 8)
                    .map_err(|why| format!("parameter {name}: {why}"))?,
            );
        }
    }
    if let Some(bad) = all.iter().find(|p| !super::contract::valid_name(&p.name)) {
        return Err(format!("parameter {:?}: not [a-z][a-z0-9_]*", bad.name));
    }
    let twice = |p: &Param| all.iter().filter(|o| o.name == p.name).count() > 1;
    match all.iter().find(|p| twice(p)) {
        Some(param) => Err(format!("two parameters are called {}", param.name)),
        None => Ok(all),
    }
}

/// The struct whose members are the parameters of a container.
fn own_struct<'b>(object: &OpenObject, btf: &'b Btf<'_>) -> Option<types::Struct<'b>> {
    let map = object.maps().find(|m| m.name() == MAP)?;
    // SAFETY: the map belongs to `object`, which is borrowed.
    let id = unsafe { libbpf_sys::bpf_map__btf_value_type_id(map.as_libbpf_object().as_ptr()) };
    types::Struct::try_from(btf.type_by_id::<BtfType<'b>>(TypeId::from(id))?.skip_mods_and_typedefs()).ok()
}

fn own(btf: &Btf<'_>, name: &str, text: &str, ty: TypeId, offset: usize) -> Result<Param, String> {
    let ty = btf.type_by_id::<BtfType<'_>>(ty).ok_or("has no type")?;
    let Some(help) = text.strip_prefix("text ") else {
        return number(name, text, (offset, integer(&ty)?), true);
    };
    let (kind, size) = kind::of(btf, ty.type_id())?;
    if kind != kind::Kind::Chars || size < 2 {
        return Err("is no array of char".into());
    }
    Ok(Param {
        name: name.to_owned(),
        help: help.to_owned(),
        per_container: true,
        default: ParamValue::Text(String::new()),
        min: 0,
        max: size as i64 - 1,
        offset,
        size,
    })
}

fn integer(ty: &BtfType<'_>) -> Result<usize, String> {
    let ty = ty.skip_mods_and_typedefs();
    let size = kind::size_of(&ty)?;
    if types::Int::try_from(ty).is_err() || !matches!(size, 1 | 2 | 4 | 8) {
        return Err("is not an integer".into());
    }
    Ok(size)
}

/// `text` is the standard value, the least, the greatest, and what it means.
fn number(
    name: &str,
    text: &str,
    (offset, size): (usize, usize),
    per_container: bool,
) -> Result<Param, String> {
    let mut words = text.splitn(4, ' ');
    let mut next = || words.next()?.parse::<i64>().ok();
    let (Some(default), Some(min), Some(max)) = (next(), next(), next()) else {
        let first = if per_container { "the standard, the least" } else { "the least" };
        return Err(format!("its tag does not begin with {first} and the greatest value"));
    };
    if min < 0 {
        return Err("is negative: none may be".into());
    }
    if !(min..=max).contains(&default) {
        return Err(format!("its standard value {default} is not {min} to {max}"));
    }
    Ok(Param {
        name: name.to_owned(),
        help: words.next().unwrap_or_default().to_owned(),
        per_container,
        default: ParamValue::Number(default),
        min,
        max,
        offset,
        size,
    })
}
