//! Which managers and runtimes there are, and whether each manager knows remora.

use std::path::PathBuf;

use clap::Parser;

use super::{Options, Runtime, Work, files};

/// Whether what starts containers calls the hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Known,
    /// It has parts of ours, but not those that would be put there now.
    Otherwise,
    Unknown,
    /// It could not be told.
    Unclear(String),
}

/// A program of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub name: &'static str,
    pub path: PathBuf,
}

impl Program {
    fn find(name: &'static str) -> Option<Self> {
        files::find(name).map(|path| Self { name, path })
    }

    /// The first line of what it says of itself.
    pub fn version(&self) -> anyhow::Result<String> {
        let text = files::printed(&self.path, &["--version"])?;
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    }
}

/// Each manager that is installed, with the ways in which remora can be made known to it.
pub fn managers() -> Vec<(Program, &'static [Runtime])> {
    const ALL: [(&str, &[Runtime]); 5] = [
        ("podman", &[Runtime::Podman]),
        ("crio", &[Runtime::Crio]),
        ("containerd", &[Runtime::ContainerdNri, Runtime::Containerd]),
        ("dockerd", &[Runtime::Docker]),
        ("nerdctl", &[Runtime::Nerdctl]),
    ];
    ALL.into_iter().filter_map(|(name, ways)| Some((Program::find(name)?, ways))).collect()
}

/// Low-level runtimes that are installed.
pub fn runtimes() -> Vec<Program> {
    ["runc", "crun", "youki", "runsc", "kata-runtime"].into_iter().filter_map(Program::find).collect()
}

/// The command line's own defaults.
#[derive(Debug, Parser)]
struct Usual {
    #[command(flatten)]
    options: Options,
}

impl Standing {
    /// By one of its ways, in any of the forms that somebody may have chosen.
    pub fn of(way: Runtime) -> Self {
        let options = match Usual::try_parse_from(["remora", way.name()]) {
            Ok(usual) => usual.options,
            Err(e) => return Self::Unclear(e.to_string()),
        };
        let forms = [(false, false), (true, false), (false, true)];
        let forms = forms.map(|(labels, default)| Options { labels, default, ..options.clone() });
        let mut standing = Self::Unknown;
        for form in &forms {
            match Self::of_form(form) {
                Ok(Self::Known) => return Self::Known,
                Ok(Self::Otherwise) => standing = Self::Otherwise,
                Ok(_) => {}
                Err(e) if standing == Self::Unknown => standing = Self::Unclear(format!("{e:#}")),
                Err(_) => {}
            }
        }
        standing
    }

    fn of_form(options: &Options) -> anyhow::Result<Self> {
        let ours = |text: &Option<String>| text.as_ref().is_some_and(|t| t.contains("remora"));
        // What is there already may be another version's, whose binaries are elsewhere.
        let exists = || {
            options.places().iter().any(|(path, _)| ours(&files::read(&options.on_disk(path)).ok().flatten()))
        };
        match Work::install(options) {
            Ok(work) if work.changes.is_empty() => Ok(Self::Known),
            Ok(_) | Err(_) if exists() => Ok(Self::Otherwise),
            Ok(_) => Ok(Self::Unknown),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_manager_knows_remora_once_it_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let usual = Usual::try_parse_from(["remora", "podman"]).unwrap().options;
        assert_eq!(usual.hooks_dir, Path::new("/usr/share/containers/oci/hooks.d"));
        let options = Options { hooks_dir: dir.path().join("hooks.d"), ..usual };
        std::fs::create_dir(&options.hooks_dir).unwrap();
        std::fs::write(options.hooks_dir.join("remora.json"), "{\"remora\":1}").unwrap();
        assert_eq!(Standing::of_form(&options).unwrap(), Standing::Otherwise);
    }

    #[test]
    fn programs_are_found_in_the_path() {
        let shell = Program::find("sh").unwrap();
        assert!(shell.path.ends_with("sh") && shell.path.is_absolute());
        assert_eq!(Program::find("no-such-program-at-all"), None);
    }
}
