//! A report as one HTML file: no script, nothing loaded, and nothing that a container says is anything but text.

use super::document::{Body, Branch, Document, Part};
use crate::decode::text::printable;

/// Even if something slipped through: no script runs, and nothing is asked for.
const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 90em; padding: 0 1em; color: #1a1a1a; background: #fff; }
h2 { margin: 1.6em 0 .3em; border-bottom: 1px solid #ccc; }
p { margin: .2em 0; color: #555; }
div { overflow-x: auto; }
table { border-collapse: collapse; margin: .5em 0; }
th, td { text-align: left; vertical-align: top; padding: .15em .8em .15em 0; border-bottom: 1px solid #eee; }
td, li { font-family: ui-monospace, monospace; font-size: 12px; overflow-wrap: anywhere; }
td { min-width: 4em; }
ul { list-style: none; padding-left: 1.2em; margin: .1em 0; border-left: 1px solid #ddd; }
small { color: #777; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #161616; } p, small { color: #999; } th, td { border-color: #333; } }
</style>
"#;

pub fn render(document: &Document) -> String {
    let title = text(&document.title);
    let mut out = format!("{HEAD}<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n");
    document.parts.iter().for_each(|p| part(&mut out, p));
    out + "</body>\n</html>\n"
}

fn part(out: &mut String, part: &Part) {
    *out += &format!("<h2>{}</h2>\n", text(&part.heading));
    for note in &part.notes {
        *out += &format!("<p>{}</p>\n", text(note));
    }
    match &part.body {
        Body::Facts(facts) => {
            let rows: Vec<Vec<String>> = facts.iter().map(|(k, v)| vec![k.clone(), v.clone()]).collect();
            table(out, &[], &rows);
        }
        Body::Table { head, rows } => table(out, head, rows),
        Body::Tree(branches) => tree(out, branches),
    }
}

fn table(out: &mut String, head: &[String], rows: &[Vec<String>]) {
    let line = |row: &[String], tag: &str| {
        let cells: String = row.iter().map(|c| format!("<{tag}>{}</{tag}>", text(c))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    *out += "<div><table>\n";
    if !head.is_empty() {
        *out += &line(head, "th");
    }
    rows.iter().for_each(|row| *out += &line(row, "td"));
    *out += "</table></div>\n";
}

fn tree(out: &mut String, branches: &[Branch]) {
    *out += "<ul>\n";
    for branch in branches {
        *out += &format!("<li>{} <small>{}</small>", text(&branch.text), text(&branch.more));
        if !branch.below.is_empty() {
            tree(out, &branch.below);
        }
        *out += "</li>\n";
    }
    *out += "</ul>\n";
}

/// Text wherever it stands: what a terminal or a reader could take for something else is escaped, then what HTML could.
fn text(said: &str) -> String {
    let mut out = String::with_capacity(said.len());
    for c in printable(said).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</title><script>alert('x')</script>\" onload=\"y\u{202e}\u{1b}[2J&";

    #[test]
    fn whatever_is_said_stays_text() {
        let said = || HOSTILE.to_owned();
        let branch = Branch { text: said(), more: said(), below: Vec::new() };
        let bodies = [
            Body::Facts(vec![(said(), said())]),
            Body::Table { head: vec![said()], rows: vec![vec![said()]] },
            Body::Tree(vec![branch]),
        ];
        let part = |body| Part { heading: said(), notes: vec![said()], body };
        let document = Document { title: said(), parts: bodies.into_iter().map(part).collect() };
        let html = render(&document);
        let own = render(&Document { title: "x".into(), parts: Vec::new() });
        assert_eq!(html.matches("<script").count(), 0, "{html}");
        assert_eq!(html.matches("onload=&quot;").count(), html.matches("onload=").count());
        // No quote and no tag but the page's own.
        assert_eq!(html.matches('"').count(), own.matches('"').count());
        assert!(!html.contains(|c| crate::decode::text::is_unsafe(c) && c != '\n'));
    }
}
