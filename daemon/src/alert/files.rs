//! Files of rules: those that come with the daemon, then the folder's by their names. Who can write one can switch any rule off:
//! that is root alone.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use remora_alert::rules::{Problem, Rules, Source};

use crate::tracer::file::trusted;

/// Largest file, in bytes, and most of them.
const LARGEST: u64 = 1 << 20;
const MOST: usize = 256;

/// Who may have written what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Root,
    /// Whoever asks for it checks rules, and obeys none.
    Anybody,
}

/// What can be read, and what cannot.
pub fn read(shipped: bool, dir: &Path, by: By) -> (Vec<Source>, Vec<Problem>) {
    let mut sources = if shipped { Rules::shipped() } else { Vec::new() };
    let mut problems = Vec::new();
    let mut paths = match list(dir) {
        Ok(paths) => paths,
        Err(e) => {
            problems.push(problem(dir, format!("failed to read the folder: {e}")));
            Vec::new()
        }
    };
    for beyond in paths.split_off(paths.len().min(MOST)) {
        problems.push(problem(&beyond, format!("there are more than {MOST} files")));
    }
    let (read, failed) = named(&paths, by);
    sources.extend(read);
    problems.extend(failed);
    (sources, problems)
}

/// Of these files.
pub fn named(paths: &[PathBuf], by: By) -> (Vec<Source>, Vec<Problem>) {
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        let trust = if by == By::Root { trusted(path).map_err(|e| e.to_string()) } else { Ok(()) };
        match trust.and_then(|()| text(path).map_err(|e| format!("failed to read the file: {e}"))) {
            Ok(text) => sources.push(Source { name: path.display().to_string(), text }),
            Err(what) => problems.push(problem(path, what)),
        }
    }
    (sources, problems)
}

/// A folder that is missing has no files.
fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_rules = |p: &PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(is_rules).collect();
    paths.sort();
    Ok(paths)
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(text)
}

fn problem(path: &Path, what: String) -> Problem {
    Problem { file: path.display().to_string(), line: 1, column: 1, rule: String::new(), what }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_names_and_bad_ones_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("20-b.yaml", "b"), ("10-a.yml", "a"), ("README", "no"), ("bad.yaml", "\u{0}")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::write(dir.path().join("30.yaml"), b"\xff").unwrap();
        fs::write(dir.path().join("40.yaml"), vec![b'x'; LARGEST as usize + 1]).unwrap();
        let (sources, problems) = read(false, dir.path(), By::Root);
        let texts: Vec<&str> = sources.iter().map(|s| s.text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "\0"]);
        let said: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.file, p.what)).collect();
        assert!(said[0].contains("30.yaml: failed to read") && said[1].contains("40.yaml"), "{said:?}");
        assert_eq!(read(false, &dir.path().join("none"), By::Root).1, []);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let (sources, problems) = read(false, dir.path(), By::Root);
        assert!(
            sources.is_empty() && problems.iter().all(|p| p.what.contains("has mode 777")),
            "{problems:?}"
        );
    }
}
