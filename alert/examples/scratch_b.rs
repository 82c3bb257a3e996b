use std::collections::{BTreeMap, BTreeSet};
use remora_alert::{event::Event, meaning::Meanings, rules::{Rules, Source}};
fn main() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let mut paths: Vec<_> = std::fs::read_dir(&root).unwrap().flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    paths.sort();
    let files: Vec<_> = paths.iter().map(|p| Source { name: p.file_name().unwrap().to_string_lossy().into(), text: std::fs::read_to_string(p).unwrap() }).collect();
    let (mut rules, _) = Rules::compile(&files, Some(&Meanings::shipped()));
    let mut said: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    for line in text.lines() {
        let Ok(event) = Event::parse(line.as_bytes()) else { continue };
        let name = event.text("container.name").to_owned();
        seen.insert(name.clone());
        for rule in rules.matching(&event) {
            *said.entry(name.clone()).or_default().entry(rule.id.to_string()).or_default() += 1;
        }
    }
    for name in &seen {
        let (way, id) = name.split_once('.').unwrap_or(("", name));
        if rules.get(id).is_none() { println!("NORULE {name} {}", said.get(name).map(|s| s.iter().map(|(k, n)| format!("{k}×{n}")).collect::<Vec<_>>().join(" ")).unwrap_or_default()); continue }
        let s = said.get(name).cloned().unwrap_or_default();
        let hit = s.contains_key(id);
        let ok = hit == (way == "do");
        println!("{} {name}: {}", if ok { "ok  " } else { "FAIL" }, s.iter().map(|(k, n)| format!("{k}×{n}")).collect::<Vec<_>>().join(" "));
    }
    for rule in rules.iter() { for way in ["do", "near"] { if !seen.contains(&format!("{way}.{}", rule.id)) { println!("UNSEEN {way}.{}", rule.id) } } }
}
