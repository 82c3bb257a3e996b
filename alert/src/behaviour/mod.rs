//! What an event is as behaviour: its place in a profile's tree, by what its tracer says of its members. Class (executed,
//! opened, …), operation (`open:write`), role (who does it), and an attribute without what is made up in it.

pub mod part;
mod address;
mod argv;
mod name;
mod path;

use serde_json::Value;

use crate::event::Event;
use crate::meaning::{EventMeaning, Field};

pub use name::ANY;
pub use part::{Kind, Segment};

const PARTS_MAX: usize = 8;

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Behaviour {
    pub class: String,
    pub operation: String,
    pub role: String,
    /// Paths, templates, classes of addresses, …: see `part`.
    pub parts: Vec<String>,
}

impl Behaviour {
    /// None if nothing of the event is marked as behaviour.
    pub fn of(event: &Event, meaning: &EventMeaning) -> Option<Self> {
        meaning.features().next()?;
        let mut read = Reading::default();
        for field in meaning.features() {
            if let Some(value) = event.get(&field.path) {
                read.field(field, value);
            }
        }
        Some(Self {
            class: meaning.class.clone(),
            role: role(event),
            parts: read.parts(event.name()),
            operation: read.operation(event.name(), failed(event, meaning)),
        })
    }

    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.parts.iter().flat_map(|part| part::segments(part))
    }

    /// The event's name, which is the class, too, where the tracer does not say what reports call it.
    pub fn event(&self) -> &str {
        event_of(&self.operation)
    }

    /// In one line.
    pub fn attribute(&self) -> String {
        self.parts.join(" ")
    }
}

pub(crate) fn event_of(operation: &str) -> &str {
    let end = operation.find([':', '!']).unwrap_or(operation.len());
    &operation[..end]
}

/// Of a program executed, who did it.
fn role(event: &Event) -> String {
    let parent = event.get(event.name()).and_then(|own| own.get("parent_comm")).and_then(Value::as_str);
    name::general(parent.unwrap_or_else(|| event.text("process.comm")))
}

fn failed(event: &Event, meaning: &EventMeaning) -> bool {
    meaning.fields.iter().any(|f| f.kind == "errno" && event.get(&f.path).is_some())
}

/// Features by what they are to be: parts with their rank, and what qualifies the operation.
#[derive(Default)]
struct Reading {
    parts: Vec<(u8, String)>,
    qualities: Vec<String>,
    file: String,
}

impl Reading {
    fn field(&mut self, field: &Field, value: &Value) {
        let text = value.as_str().unwrap_or_default();
        match field.kind.as_str() {
            "enum" | "syscall" | "signal" => self.qualities.push(shown(value)),
            "flags" => self.qualities.extend(flags(text)),
            "boolean" if value == true => {
                self.qualities.push(field.path.rsplit('.').next().unwrap_or_default().to_owned());
            }
            "boolean" => {}
            "path" => {
                self.file = text.to_owned();
                self.parts.push((0, path::general(text)));
            }
            "address" => {
                let (class, network) = address::address(text);
                self.parts.push((2, class.to_owned()));
                self.parts.extend(network.map(|network| (2, network)));
            }
            "port" => self.parts.push((3, address::port(value.as_u64().unwrap_or(0)))),
            "strings" => self.strings(value.as_array().map_or(&[][..], Vec::as_slice), &field.path),
            "mode" | "device" => self.parts.push((4, shown(value))),
            "integer" | "bytes" | "seconds" => self.parts.push((4, magnitude(value))),
            _ if is_domain(&field.path) && !text.is_empty() => self.parts.push((0, path::domain(text))),
            _ => self.parts.push((4, path::general(&shown(value)))),
        }
    }

    fn strings(&mut self, all: &[Value], path: &str) {
        if path.ends_with("command_args") {
            let template = argv::template(all, &self.file);
            if !template.is_empty() {
                self.parts.push((1, template));
            }
            return;
        }
        let mut names: Vec<_> = all.iter().filter_map(Value::as_str).map(path::general).collect();
        names.sort();
        names.truncate(PARTS_MAX);
        self.parts.push((1, names.join(" ")));
    }

    /// What is done to: without any, the first thing that is told of it.
    fn parts(&mut self, name: &str) -> Vec<String> {
        self.qualities.retain(|quality| quality != name);
        self.parts.sort_by_key(|(rank, _)| *rank);
        let mut parts: Vec<_> = self.parts.drain(..).map(|(_, part)| part).collect();
        if parts.is_empty() && !self.qualities.is_empty() {
            parts.push(self.qualities.remove(0));
        }
        parts.truncate(PARTS_MAX);
        parts
    }

    fn operation(&self, name: &str, failed: bool) -> String {
        let mut operation = name.to_owned();
        for (i, quality) in self.qualities.iter().enumerate() {
            operation.push(if i == 0 { ':' } else { ',' });
            operation.push_str(quality);
        }
        if failed {
            operation.push('!');
        }
        operation
    }
}

/// How a file is opened is reading or writing; of other flags each counts.
fn flags(text: &str) -> Vec<String> {
    if text.starts_with("O_") {
        let writes = text.split('|').any(|flag| matches!(flag, "O_WRONLY" | "O_RDWR" | "O_TRUNC"));
        return vec![if writes { "write" } else { "read" }.to_owned()];
    }
    let mut all: Vec<_> = text.split('|').filter(|flag| !flag.is_empty()).map(str::to_owned).collect();
    all.sort();
    all
}

fn is_domain(path: &str) -> bool {
    ["question.name", "server_name", "header.host"].iter().any(|end| path.ends_with(end))
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Large numbers by how large they are.
fn magnitude(value: &Value) -> String {
    match value.as_i64() {
        Some(n) if n.unsigned_abs() <= 0xffff => n.to_string(),
        Some(n) => format!("about 2^{}", n.unsigned_abs().ilog2()),
        None => value
            .as_f64()
            .filter(|n| *n > 0.0)
            .map_or_else(String::new, |n| format!("about 2^{:.0}", n.log2())),
    }
}

#[cfg(test)]
mod tests;
