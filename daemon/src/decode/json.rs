//! An event as one JSON object: time, event, container, then what its plan says.

use super::text::json_string;
use super::value::{self, Clock};
use crate::event::Event;
use crate::stacks::Stacks;
use crate::tracer::kind::Kind;
use crate::tracer::plan::{Field, Layout, Op, TAILS_MAX};

/// The line that stands for events which were forgotten before they could be read.
pub fn gap(out: &mut Vec<u8>, after: u64, to: u64) {
    out.extend_from_slice(format!("{{\"gap\":{{\"after\":{after},\"to\":{to}}}}}\n").as_bytes());
}

/// Appends the event, without a line's end.
pub fn event(out: &mut Vec<u8>, event: &Event<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(value::rfc3339(event.unix_ns()).as_bytes());
    out.extend_from_slice(b"\",\"event\":{\"name\":\"");
    out.extend_from_slice(event.plan.name.as_bytes());
    out.extend_from_slice(b"\",\"tracer\":\"");
    out.extend_from_slice(event.plan.tracer.as_bytes());
    out.extend_from_slice(b"\",\"cursor\":");
    out.extend_from_slice(itoa::Buffer::new().format(event.cursor).as_bytes());
    out.extend_from_slice(b"},");
    out.extend_from_slice(&event.subject.json);
    fields(out, &event.plan.layout, event.record, None, event.clock, false);
    out.push(b'}');
}

/// Appends a table's row.
pub fn row(out: &mut Vec<u8>, layout: &Layout, record: &[u8], stacks: Option<&Stacks>, clock: Clock) {
    out.push(b'{');
    fields(out, layout, record, stacks, clock, true);
    out.push(b'}');
}

/// The plan's members; unless they are the first of their object, with a comma before them.
fn fields(
    out: &mut Vec<u8>,
    plan: &Layout,
    record: &[u8],
    stacks: Option<&Stacks>,
    clock: Clock,
    mut first: bool,
) {
    let tails = tails(plan, record);
    for op in &plan.ops {
        match op {
            Op::Open(key) => {
                comma(out, &mut first);
                json_string(out, key.as_bytes());
                out.extend_from_slice(b":{");
                first = true;
            }
            Op::Close => {
                out.push(b'}');
                first = false;
            }
            Op::Leaf(index, key) => {
                let field = &plan.fields[*index];
                let bytes = &record[field.offset..field.offset + field.size];
                let names = match field.kind {
                    Kind::UserStack => Some(stacks.and_then(|s| s.user.as_ref())),
                    Kind::KernelStack => Some(stacks.and_then(|s| s.kernel.as_ref())),
                    _ => None,
                };
                if let Some(names) = names {
                    comma(out, &mut first);
                    json_string(out, key.as_bytes());
                    out.push(b':');
                    strings(out, names.iter().flat_map(|s| s.iter()).map(|n| n.as_bytes()));
                    continue;
                }
                if (field.optional || field.kind == Kind::Errno) && value::is_zero(bytes) {
                    continue;
                }
                comma(out, &mut first);
                json_string(out, key.as_bytes());
                out.push(b':');
                if field.kind.is_tail() {
                    tail(out, field, key, bytes, tails[field.tail]);
                } else {
                    value::scalar(out, &field.kind, bytes, clock);
                }
            }
        }
    }
}

fn comma(out: &mut Vec<u8>, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}

/// Where each tail lies: behind the fixed part, one after the other; cut at the record's end.
fn tails<'r>(plan: &Layout, record: &'r [u8]) -> [&'r [u8]; TAILS_MAX] {
    let mut out: [&[u8]; TAILS_MAX] = [&[]; TAILS_MAX];
    let mut rest = &record[plan.size.min(record.len())..];
    for (slot, at) in out.iter_mut().zip(&plan.tails) {
        let len = usize::from(u16::from_ne_bytes([record[*at], record[*at + 1]]));
        let (mine, behind) = rest.split_at(len.min(rest.len()));
        *slot = mine;
        rest = behind;
    }
    out
}

fn tail(out: &mut Vec<u8>, field: &Field, key: &str, header: &[u8], bytes: &[u8]) {
    match field.kind {
        Kind::Path => json_string(out, &value::path(bytes)),
        Kind::Args => strings(out, value::args(bytes)),
        _ => json_string(out, bytes.strip_suffix(b"\0").unwrap_or(bytes)),
    }
    if header[2] != 0 || header[3] != 0 {
        out.extend_from_slice(format!(",\"{key}_truncated\":true").as_bytes());
    }
}

fn strings<'a>(out: &mut Vec<u8>, all: impl Iterator<Item = &'a [u8]>) {
    out.push(b'[');
    for (i, one) in all.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json_string(out, one);
    }
    out.push(b']');
}
