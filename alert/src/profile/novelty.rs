//! What drift weighs: class × how high in the tree it leaves what is known × how few of the replicas do it.

use std::sync::Arc;

use super::key::Key;
use super::told::Place;
use super::tree::Leaves;
use crate::behaviour::{Behaviour, part};

/// One novelty alone is not told: an incident is from 10 on.
const SCORE_MAX: f64 = 9.0;
/// What alarms of novelty are called, before the class.
pub const NOVEL: &str = "novel-";
/// Known, but of another role, or with success what failed now.
const ELSEWHERE: f64 = 0.25;
/// Files read say little: a program that is updated reads others.
const READ_MAX: f64 = 0.5;
/// What no report has a word for says less.
const UNNAMED_MAX: f64 = 0.25;
/// Longest text of what was done, in characters.
const TEXT_MAX: usize = 120;

#[derive(Debug, Clone, PartialEq)]
pub struct Novelty {
    pub score: f64,
    pub class: String,
    pub operation: String,
    pub role: String,
    /// With `*` where there were too many new names of one folder.
    pub attribute: String,
    pub key: Arc<Key>,
    /// One sentence without a full stop.
    pub why: String,
    /// Somebody said what this image does, and this is not of it.
    pub pinned: bool,
}

/// Weight of its class, and what it scores at most.
fn class_weight(b: &Behaviour) -> (f64, f64) {
    let weight = match b.class.as_str() {
        "executed" | "listened" => 4.0,
        "connected" | "changed" | "talked" => 3.0,
        "opened" if is_write(b) => 2.0,
        "opened" | "requested" | "accepted" => 1.0,
        _ => 2.0,
    };
    let most = match b.class.as_str() {
        "opened" if !is_write(b) => READ_MAX,
        class if class == b.event() => UNNAMED_MAX,
        _ => SCORE_MAX,
    };
    (weight, most)
}

fn is_write(b: &Behaviour) -> bool {
    b.operation.contains("write") || b.operation.contains("created")
}

/// Levels of the tree that are known.
pub fn known_levels(leaves: Leaves) -> usize {
    match leaves {
        Leaves::Class => 0,
        Leaves::Operation { .. } => 1,
        Leaves::Role { .. } => 2,
        Leaves::Attribute { known, .. } => 3 + known,
    }
}

pub fn depth(b: &Behaviour, leaves: Leaves, place: &Place) -> f64 {
    if let Some(before) = place.before {
        return before;
    }
    let elsewhere =
        matches!(leaves, Leaves::Role { elsewhere: true } | Leaves::Attribute { elsewhere: true, .. });
    let depth = match place.level {
        0 => 4.0,
        1 if matches!(leaves, Leaves::Operation { variant: true }) => 1.5,
        1 => 3.0,
        2 => 2.0,
        level => deep(b, level - 3),
    };
    if elsewhere { ELSEWHERE.min(depth) } else { depth }
}

/// So many segments of the attribute are known.
fn deep(b: &Behaviour, known: usize) -> f64 {
    let first = b.parts.first().map_or(0, |first| part::segments(first).count());
    match b.class.as_str() {
        "executed" if known >= first => 0.25,
        "executed" | "listened" => 1.0,
        _ if known == 0 => 1.0,
        _ => 0.5,
    }
}

/// It did something, and did not only look.
pub fn is_act(class: &str) -> bool {
    matches!(class, "executed" | "listened" | "connected" | "talked" | "changed")
}

pub fn score(b: &Behaviour, depth: f64, rarity: f64) -> f64 {
    let (weight, most) = class_weight(b);
    (weight * depth).min(most) * rarity
}

/// Of so many replicas that live so many others do it.
pub fn rarity(others: usize, alive: usize) -> f64 {
    if alive < 2 { 1.0 } else { (1.0 - others as f64 / (alive - 1) as f64).max(0.1) }
}

pub fn why(key: &Key, b: &Behaviour, attribute: &str, level: usize) -> String {
    let image = shown(key.image.rsplit('/').next().unwrap_or_default());
    let done = done(b, &shown(attribute));
    match level {
        0 => format!("no container of {image} has {done}, or anything like it"),
        1 => format!("no container of {image} has {done} by {}", shown(&b.operation)),
        2 => format!("{} of {image} has not {done} before, nor anything like it", shown(&b.role)),
        _ => format!("{} of {image} has not {done} before", shown(&b.role)),
    }
}

fn done(b: &Behaviour, attribute: &str) -> String {
    match b.class.as_str() {
        "connected" | "talked" => format!("{} to {attribute}", b.class),
        "listened" => format!("listened on {attribute}"),
        "accepted" => format!("accepted connections at {attribute}"),
        "asked" => format!("asked for {attribute}"),
        "executed" | "opened" | "changed" | "used" | "requested" => format!("{} {attribute}", b.class),
        other => format!("done {} with {attribute}", shown(other)),
    }
}

/// Of a container, which may want to deceive: without control characters, and not long.
fn shown(text: &str) -> String {
    let escaped = |c: char| {
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hidden { c.escape_unicode().collect() } else { String::from(c) }
    };
    let cut: String = text.chars().take(TEXT_MAX).map(escaped).collect();
    if text.chars().nth(TEXT_MAX).is_some() { cut + "…" } else { cut }
}
