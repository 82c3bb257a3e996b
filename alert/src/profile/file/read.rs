use std::sync::Arc;

use crate::behaviour::Behaviour;
use crate::profile::course::Course;
use crate::profile::entry::{Entry, seconds};
use crate::profile::key::Key;
use crate::profile::one::{Inherited, Learned, Phase, Profile};
use crate::profile::pending::Waiting;
use crate::profile::tree::Tree;
use crate::time;
use crate::yaml::{self, Members, Node, YamlError};

/// Of one phase.
const ENTRIES_MAX: usize = 4096;
const HEAD: [&str; 12] = [
    "remora-profile",
    "image",
    "digest",
    "role",
    "pinned",
    "learned",
    "containers",
    "events",
    "predecessor",
    "courses",
    "phases",
    "waiting",
];
const ENTRY: [&str; 5] = ["at", "count", "first", "last", "by"];
const WAITING: [&str; 11] =
    ["phase", "class", "operation", "role", "at", "count", "first", "last", "by", "days", "early"];

pub fn read(text: &str) -> Result<Profile, YamlError> {
    let node = yaml::read_up_to(text, super::LENGTH_MAX)?;
    let head = Members::of(&node, &HEAD)?;
    let version = head.need("remora-profile")?;
    if version.number()? != super::VERSION {
        return Err(version.error(format!("profiles of version {} are read here, no others", super::VERSION)));
    }
    let text = |name: &str| head.get(name).map_or(Ok(""), Node::text).map(str::to_owned);
    let number = |name: &str| head.get(name).map_or(Ok(0), Node::number);
    let image = head.need("image")?.text()?.to_owned();
    if image.is_empty() {
        return Err(head.need("image")?.error("an image's name is wanted here"));
    }
    let mut profile = Profile::new(Key { image, digest: text("digest")?, role: text("role")? });
    profile.pinned = head.get("pinned").map_or(Ok(false), Node::boolean)?;
    profile.containers = number("containers")?;
    profile.events = number("events")?;
    if let Some(node) = head.get("learned") {
        let learned = Members::of(node, &["from", "to"])?;
        profile.first = at(learned.get("from"))?;
        profile.last = at(learned.get("to"))?;
    }
    profile.inherited = head.get("predecessor").map(predecessor).transpose()?;
    head.get("courses").map_or(Ok(()), |node| courses(node, &mut profile))?;
    phases(head.need("phases")?, &mut profile)?;
    for node in head.get("waiting").map_or(Ok(&[][..]), Node::list)? {
        profile.pending.put(waiting(node)?);
    }
    Ok(profile)
}

/// What it knew is found where its own profile is.
fn predecessor(node: &Node) -> Result<Inherited, YamlError> {
    let before = Members::of(node, &["digest", "since"])?;
    let digest = before.need("digest")?.text()?.to_owned();
    Ok(Inherited { digest, since: at(before.get("since"))?, trees: Default::default(), settled: [false; 2] })
}

fn courses(node: &Node, profile: &mut Profile) -> Result<(), YamlError> {
    let all = Members::of(node, &Phase::ALL.map(Phase::name))?;
    for phase in Phase::ALL {
        let Some(node) = all.get(phase.name()) else { continue };
        let one = Members::of(node, &["since", "events", "runs", "converged"])?;
        let number = |name: &str| one.get(name).map_or(Ok(0), Node::number);
        let converged = one.get("converged").map(|node| at(Some(node))).transpose()?;
        let runs = u32::try_from(number("runs")?).unwrap_or(u32::MAX);
        profile.phases[phase as usize].course =
            Course::again(at(one.get("since"))?, number("events")?, runs, converged.filter(|at| *at > 0));
    }
    Ok(())
}

fn phases(node: &Node, profile: &mut Profile) -> Result<(), YamlError> {
    let phases = Members::of(node, &Phase::ALL.map(Phase::name))?;
    for phase in Phase::ALL {
        let Some(node) = phases.get(phase.name()) else { continue };
        let mut tree = Tree::default();
        for (class, operations) in node.map()? {
            for (operation, roles) in operations.map()? {
                for (role, entries) in roles.map()? {
                    for node in entries.list()? {
                        let names = [class.text()?, operation.text()?, role.text()?];
                        add(&mut tree, names, node)?;
                    }
                }
            }
        }
        let course = profile.phases[phase as usize].course;
        profile.phases[phase as usize] = Learned { tree: Arc::new(tree), course };
    }
    Ok(())
}

fn add(tree: &mut Tree, names: [&str; 3], node: &Node) -> Result<(), YamlError> {
    let members = Members::of(node, &ENTRY)?;
    let behaviour = behaviour(names, &members)?;
    match tree.add(&behaviour, &entry(&members)?, ENTRIES_MAX) {
        true => Ok(()),
        false => Err(node.error("a profile has no room for so many entries")),
    }
}

fn behaviour(names: [&str; 3], members: &Members) -> Result<Behaviour, YamlError> {
    let [class, operation, role] = names.map(str::to_owned);
    Ok(Behaviour { class, operation, role, parts: members.need("at")?.texts()? })
}

fn entry(members: &Members) -> Result<Entry, YamlError> {
    let count = members.get("count").map_or(Ok(1), Node::number)?;
    let second = |name: &str| at(members.get(name)).map(seconds);
    let mut entry = Entry {
        count: u32::try_from(count).unwrap_or(u32::MAX),
        first: second("first")?,
        last: second("last")?,
        ..Entry::default()
    };
    for node in members.get("by").map_or(Ok(&[][..]), Node::list)? {
        let who = u16::from_str_radix(node.text()?, 16);
        entry.replicas.add(who.map_err(|_| node.error("a replica is four hexadecimal digits"))?);
    }
    Ok(entry)
}

fn waiting(node: &Node) -> Result<Waiting, YamlError> {
    let members = Members::of(node, &WAITING)?;
    let text = |name: &str| members.need(name).and_then(Node::text);
    let phase = Phase::ALL.into_iter().find(|phase| text("phase") == Ok(phase.name()));
    Ok(Waiting {
        phase: phase.ok_or_else(|| node.error("a phase is start-up or steady"))?,
        behaviour: behaviour([text("class")?, text("operation")?, text("role")?], &members)?,
        entry: entry(&members)?,
        days: members.get("days").map_or(Ok(1), Node::number)?.try_into().unwrap_or(u32::MAX),
        early: members.get("early").map_or(Ok(false), Node::boolean)?,
    })
}

fn at(node: Option<&Node>) -> Result<u64, YamlError> {
    match node {
        None => Ok(0),
        Some(node) if node.text()?.is_empty() => Ok(0),
        Some(node) => time::parse(node.text()?).ok_or_else(|| node.error("a time is RFC 3339, in UTC")),
    }
}
