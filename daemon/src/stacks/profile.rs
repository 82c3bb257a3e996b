//! Stacks as they are shown: JSON, or folded, one stack a line.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::store::{Kept, Sample};
use super::{Stack, child::kernel_is_hidden};
use crate::decode::text::printable;

/// What a container's stacks of a table say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub table: String,
    /// Of the values.
    pub unit: String,
    pub total: u64,
    /// The greatest first.
    pub samples: Vec<Line>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Functions, the outermost first, and how much was found there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// Name of the thread.
    pub comm: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel: Vec<String>,
    pub value: u64,
}

impl Profile {
    pub fn new(table: &str, all: Kept, problem: Option<String>) -> Self {
        let names = |stack: Option<Stack>| {
            stack.iter().flat_map(|s| s.iter()).map(|n: &Arc<str>| n.to_string()).collect()
        };
        let line = |(s, value): (Sample, u64)| Line {
            comm: s.comm.to_string(),
            user: names(s.stacks.user),
            kernel: names(s.stacks.kernel),
            value,
        };
        let mut samples: Vec<Line> = all.samples.into_iter().map(line).collect();
        samples.sort_by(|a, b| (b.value, a).cmp(&(a.value, b)));
        let hidden = kernel_is_hidden() && samples.iter().any(|l| !l.kernel.is_empty());
        let hidden = hidden.then(|| {
            "the kernel hides the names of its functions: it takes CAP_SYSLOG, and kernel.kptr_restrict below 2"
                .to_owned()
        });
        Self {
            table: table.to_owned(),
            unit: all.unit,
            total: samples.iter().map(|l| l.value).fold(0, u64::saturating_add),
            samples,
            notes: problem.into_iter().chain(hidden).collect(),
        }
    }

    /// What came since an earlier one.
    pub fn since(mut self, earlier: &Self) -> Self {
        let key = |l: &Line| (l.comm.clone(), l.user.clone(), l.kernel.clone());
        let before: HashMap<_, u64> = earlier.samples.iter().map(|l| (key(l), l.value)).collect();
        for line in &mut self.samples {
            line.value = line.value.saturating_sub(before.get(&key(line)).copied().unwrap_or_default());
        }
        self.samples.retain(|l| l.value > 0);
        self.samples.sort_by(|a, b| (b.value, a).cmp(&(a.value, b)));
        self.total = self.samples.iter().map(|l| l.value).fold(0, u64::saturating_add);
        self
    }

    /// As flame graphs are made of: `thread;outermost;…;innermost value`, functions of the kernel marked `_[k]`.
    pub fn folded(&self) -> String {
        let mut lines: BTreeMap<String, u64> = BTreeMap::new();
        for line in &self.samples {
            let user = line.user.iter().map(|n| frame(n));
            let kernel = line.kernel.iter().map(|n| frame(n) + "_[k]");
            let all: Vec<String> = [frame(&line.comm)].into_iter().chain(user).chain(kernel).collect();
            *lines.entry(all.join(";")).or_default() += line.value;
        }
        lines.into_iter().map(|(stack, value)| format!("{stack} {value}\n")).collect()
    }
}

/// Semicolons are between names, and a line's end behind them.
fn frame(name: &str) -> String {
    let name = printable(name).replace(';', ":");
    if name.is_empty() { "-".to_owned() } else { name }
}

/// A name of fixed size, as far as it is text.
pub fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(comm: &str, user: &[&str], kernel: &[&str], value: u64) -> Line {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Line { comm: comm.into(), user: own(user), kernel: own(kernel), value }
    }

    fn profile(samples: Vec<Line>) -> Profile {
        Profile { total: samples.iter().map(|l| l.value).sum(), samples, ..Profile::default() }
    }

    #[test]
    fn folded_lines_cannot_be_taken_for_others() {
        let all = profile(vec![
            line("sh", &["main", "a;b"], &["sys_read"], 3),
            line("x\n1 2", &["\x1b[31m"], &[], 1),
            line("", &[], &[], 2),
        ]);
        assert_eq!(all.folded(), "- 2\nsh;main;a:b;sys_read_[k] 3\nx\\n1 2;\\u{1b}[31m 1\n");
    }

    #[test]
    fn what_came_since() {
        let before = profile(vec![line("a", &["f"], &[], 3), line("b", &["f"], &[], 3)]);
        let after =
            profile(vec![line("a", &["f"], &[], 3), line("b", &["f"], &[], 4), line("c", &["f"], &[], 9)]);
        let since = after.since(&before);
        assert_eq!(since.samples, [line("c", &["f"], &[], 9), line("b", &["f"], &[], 1)]);
        assert_eq!(since.total, 10);
    }

    #[test]
    fn names_end_at_their_nul() {
        assert_eq!(text(b"sh\0junk"), "sh");
        assert_eq!(text(b"\xff\0"), "\u{fffd}");
    }
}
