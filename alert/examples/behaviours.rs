//! Holds the shipped rules against what `tests/alerts/record` wrote down: each container do.RULE must make RULE speak,
//! and near.RULE must not. `cargo run -p remora-alert --example behaviours FILE.ndjson [--all] [--matches]`: with --all
//! each rule must have both containers, with --matches all that spoke is printed, and the line of its first event.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::ExitCode;

use remora_alert::event::Event;
use remora_alert::meaning::Meanings;
use remora_alert::rules::Rules;

/// Of each container, by name, the rules that spoke, and the line of the first event that they spoke of.
type Spoke = BTreeMap<String, BTreeMap<String, usize>>;

fn main() -> ExitCode {
    let (options, files): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let Some(file) = files.first() else {
        eprintln!("usage: behaviours FILE.ndjson [--all] [--matches]");
        return ExitCode::FAILURE;
    };
    let (mut rules, problems) = Rules::compile(&Rules::shipped(), Some(&Meanings::shipped()));
    problems.iter().for_each(|problem| println!("{problem}"));
    let spoke = read(file, &mut rules);
    if options.iter().any(|o| o == "--matches") {
        for (container, ids) in &spoke {
            ids.iter().for_each(|(id, line)| println!("{container}: {id}, line {line}"));
        }
    }
    let wrong = wrong(&rules, &spoke, options.iter().any(|o| o == "--all"));
    wrong.iter().for_each(|line| println!("{line}"));
    let state = if wrong.is_empty() { "ok" } else { "FAILED" };
    let passed = spoke.len().saturating_sub(wrong.len());
    println!("test result: {state}. {passed} passed; {} failed; containers of rules", wrong.len());
    if problems.is_empty() && wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(file: &str, rules: &mut Rules) -> Spoke {
    let lines = File::open(file).unwrap_or_else(|e| panic!("failed to open {file}: {e}"));
    let mut spoke = Spoke::new();
    for (number, line) in BufReader::new(lines).lines().enumerate() {
        let line = line.unwrap_or_else(|e| panic!("failed to read {file}: {e}"));
        let Ok(event) = Event::parse(line.as_bytes()) else {
            println!("{file} has a line that is no event: {line}");
            continue;
        };
        let ids = spoke.entry(event.text("container.name").to_owned()).or_default();
        for rule in rules.matching(&event) {
            ids.entry(rule.id.to_string()).or_insert(number + 1);
        }
    }
    spoke
}

fn wrong(rules: &Rules, spoke: &Spoke, all: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for id in rules.iter().map(|rule| rule.id.to_string()) {
        for (way, must) in [("do", true), ("near", false)] {
            let container = format!("{way}.{id}");
            match spoke.get(&container) {
                Some(ids) if ids.contains_key(&id) != must => {
                    wrong.push(format!(
                        "{id}: {}",
                        if must { "silent of its behaviour" } else { "speaks of what is near" }
                    ));
                }
                None if all => wrong.push(format!("{id}: nothing was recorded of {container}")),
                _ => {}
            }
        }
    }
    wrong
}
