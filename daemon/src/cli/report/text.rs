//! A report for a terminal.

use super::document::{Body, Branch, Document, Part};
use crate::cli::table;
use crate::decode::text::printable;

pub fn render(document: &Document) -> String {
    let mut out = format!("{}\n", printable(&document.title));
    document.parts.iter().for_each(|p| part(&mut out, p));
    out
}

fn part(out: &mut String, part: &Part) {
    *out += &format!("\n{}\n", printable(&part.heading).to_uppercase());
    for note in &part.notes {
        *out += &format!("  {}\n", printable(note));
    }
    match &part.body {
        Body::Facts(facts) => {
            for (name, said) in facts {
                line(out, &format!("  {name:14} {}", printable(said)));
            }
        }
        Body::Table { head, rows } => rows_of(out, head, rows),
        Body::Tree(branches) => branches.iter().for_each(|b| branch(out, b, 1)),
    }
}

fn rows_of(out: &mut String, head: &[String], rows: &[Vec<String>]) {
    let all = std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let all: Vec<Vec<String>> = all.map(|row| row.iter().map(|c| printable(c)).collect()).collect();
    let width = |i: usize| all.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    // A long cell does not push the others out of sight: what is longer than that is not aligned to.
    let widths: Vec<usize> = (0..head.len()).map(|i| width(i).min(60)).collect();
    all.iter().for_each(|row| line(out, &format!("  {}", table::line(row, &widths))));
}

fn branch(out: &mut String, branch: &Branch, depth: usize) {
    let more =
        if branch.more.is_empty() { String::new() } else { format!("  ({})", printable(&branch.more)) };
    line(out, &format!("{}{}{more}", "  ".repeat(depth), printable(&branch.text)));
    branch.below.iter().for_each(|b| self::branch(out, b, depth + 1));
}

fn line(out: &mut String, text: &str) {
    *out += table::cut(text, table::width()).trim_end();
    out.push('\n');
}
