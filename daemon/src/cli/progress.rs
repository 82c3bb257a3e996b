//! A bar on standard error while something takes its time, where somebody looks at it.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use super::table::cut;

const STEP: Duration = Duration::from_millis(250);
const WIDTH: usize = 30;

/// Waits so long.
pub async fn wait(time: Duration, what: &str) {
    let begun = Instant::now();
    let shown = io::stderr().is_terminal();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if shown {
            draw(&line(begun.elapsed(), time, what));
        }
        tokio::time::sleep(left.min(if shown { STEP } else { left })).await;
    }
    if shown {
        draw("");
    }
}

/// In the place of the line before.
fn draw(text: &str) {
    let _ = write!(io::stderr(), "\r{}\x1b[K", cut(text, Some(79)));
    let _ = io::stderr().flush();
}

fn line(passed: Duration, whole: Duration, what: &str) -> String {
    let part = passed.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE);
    let full = ((part * WIDTH as f64) as usize).min(WIDTH);
    let bar = "#".repeat(full) + &"-".repeat(WIDTH - full);
    format!("[{bar}] {what}, {} of {} s", passed.as_secs(), whole.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills() {
        let at = |s| line(Duration::from_secs(s), Duration::from_secs(10), "watching");
        assert!(at(0).starts_with("[---") && at(10).starts_with(&format!("[{}]", "#".repeat(WIDTH))));
        assert!(at(5).contains("###---") && at(5).ends_with("watching, 5 of 10 s"), "{}", at(5));
        assert!(at(11).len() == at(10).len());
    }
}
