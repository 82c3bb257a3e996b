//! Tables that fit a terminal; what a container chose is made harmless first.

use std::io::{self, IsTerminal, Write};

use crate::decode::text::printable;

/// Columns of the terminal; without one, as many as are needed.
pub fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    // SAFETY: plain data, for which zeroes are valid.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the request fills one winsize.
    let rc = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    Some(if rc == 0 && size.ws_col > 0 { size.ws_col.into() } else { 80 })
}

/// Prints rows under a head; the last column takes what room is left.
pub fn print(head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| printable(c)).collect()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|i| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).chain([head[i].len()]).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut out = io::stdout().lock();
    let bold = width().is_some() && std::env::var_os("NO_COLOR").is_none();
    let title: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    let line = line(&title, &widths);
    writeln!(out, "{}", if bold { format!("\x1b[1m{line}\x1b[0m") } else { line })?;
    rows.iter().try_for_each(|row| writeln!(out, "{}", self::line(row, &widths)))
}

/// One row, cut at the terminal's edge.
pub fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (i, cell) in cells.iter().enumerate() {
        text += cell;
        if i + 1 < cells.len() {
            let fill = widths.get(i).copied().unwrap_or(0).saturating_sub(cell.chars().count());
            text += &" ".repeat(fill + 2);
        }
    }
    cut(&text, width())
}

pub fn cut(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if text.chars().count() > width => {
            text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        }
        _ => text.to_owned(),
    }
}
