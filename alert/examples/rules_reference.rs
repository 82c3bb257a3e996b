//! Prints the table of shipped rules; with `--write` it is put into docs/rules.md.

use std::path::Path;

use remora_alert::meaning::Meanings;
use remora_alert::rules::{Rules, reference};

fn main() {
    let (rules, _) = Rules::compile(&Rules::shipped(), Some(&Meanings::shipped()));
    if std::env::args().nth(1).as_deref() != Some("--write") {
        print!("{}", reference::table(&rules));
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    let document = std::fs::read_to_string(&path).expect("failed to read docs/rules.md");
    let document = reference::with_table(&document, &rules).expect("docs/rules.md has the markers");
    std::fs::write(&path, document).expect("failed to write docs/rules.md");
}
