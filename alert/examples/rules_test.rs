//! Compiles the shipped rules and runs their tests: `cargo run -p remora-alert --example rules_test`.

use std::path::Path;
use std::process::ExitCode;

use remora_alert::meaning::Meanings;
use remora_alert::rules::{Rules, Source, test};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let (rules, problems) = Rules::compile(&files(&root), Some(&Meanings::shipped()));
    problems.iter().for_each(|problem| println!("{problem}"));
    let outcomes = test::run(&rules, &files(&root.join("tests")));
    let failed: Vec<_> = outcomes.iter().filter(|o| !o.ok).collect();
    failed.iter().for_each(|o| println!("tests/{}:{}: {}: {}", o.file, o.line, o.name, o.what));
    for rule in rules.iter() {
        let id = rule.id.to_string();
        if !outcomes.iter().any(|o| o.expect.contains(&id)) {
            println!("{}:{}: no test expects {id}", rule.file, rule.line);
        }
        if !outcomes.iter().any(|o| o.near.contains(&id)) {
            println!("{}:{}: no test is near {id}", rule.file, rule.line);
        }
    }
    println!(
        "{} rules, {} problems, {} tests, {} failed",
        rules.iter().count(),
        problems.len(),
        outcomes.len(),
        failed.len()
    );
    if problems.is_empty() && failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn files(folder: &Path) -> Vec<Source> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|e| panic!("failed to read {}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    let source = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path);
        Source { name, text: text.unwrap_or_else(|e| panic!("failed to read {}: {e}", path.display())) }
    };
    paths.iter().map(source).collect()
}
