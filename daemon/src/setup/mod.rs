//! Tells container managers about remora, and takes it back: which files, what goes into them, and how they are
//! changed so that nothing is half done and everything can be undone.

mod apply;
mod binary;
mod containerd;
mod docker;
mod files;
mod plan;
mod record;
mod spec;
mod standing;

use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

pub use apply::{Change, Work};
pub use standing::{Program, Standing, managers, runtimes};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Runtime {
    Podman,
    Crio,
    /// Its CRI plugin, which serves Kubernetes.
    Containerd,
    /// Only switches NRI on, for the plugin in the daemon.
    ContainerdNri,
    Docker,
    /// And ctr.
    Nerdctl,
}

/// Where things are, as the managers see it.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    pub runtime: Runtime,
    /// Folder that stands for /, such as an image that is being made.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// The manager's configuration file, where it is not the usual one (containerd, docker).
    #[arg(long, value_name = "FILE")]
    pub manager_config: Option<PathBuf>,
    /// Where the manager looks for hooks (podman, CRI-O).
    #[arg(long, value_name = "DIR", default_value = "/usr/share/containers/oci/hooks.d")]
    pub hooks_dir: PathBuf,
    /// Where remora-hook and remora-runtime are; by default beside this program.
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
    /// remora's own configuration.
    #[arg(long, value_name = "DIR", default_value = "/etc/remora")]
    pub etc_dir: PathBuf,
    /// Call the hook for each container, so that labels count, too (podman, CRI-O).
    #[arg(long)]
    pub labels: bool,
    /// For all containers, not only for those that ask for the runtime `remora` (containerd, docker).
    #[arg(long)]
    pub default: bool,
    /// The containerd that is asked for its version.
    #[arg(long, value_name = "PROGRAM", default_value = "containerd")]
    pub containerd: PathBuf,
    /// The ctr that is asked for containerd's own specification.
    #[arg(long, value_name = "PROGRAM", default_value = "ctr")]
    pub ctr: PathBuf,
}

/// What a file is to us, and so how our parts get out of it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Ours alone.
    Whole,
    Docker,
    Cri,
    Nri,
}

/// What a file was before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was<'a> {
    Unknown,
    Absent,
    Text(&'a str),
}

impl<'a> Was<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Unknown | Self::Absent => None,
        }
    }
}

impl Kind {
    /// The file without our parts; None: there is nothing left of it.
    fn strip(self, text: &str, was: Was) -> anyhow::Result<Option<String>> {
        match self {
            Self::Whole => Ok(was.text().map(str::to_owned)),
            Self::Docker => docker::strip(text, was),
            Self::Cri => containerd::cri::strip(text, was),
            Self::Nri => containerd::nri::strip(text, was),
        }
    }
}

impl Runtime {
    pub fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Crio => "crio",
            Self::Containerd => "containerd",
            Self::ContainerdNri => "containerd-nri",
            Self::Docker => "docker",
            Self::Nerdctl => "nerdctl",
        }
    }
}

impl Options {
    /// Where a path of the managers' is for us.
    fn on_disk(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn bin_dir(&self) -> PathBuf {
        let beside = || {
            let own = std::env::current_exe().ok()?;
            Some(own.parent()?.to_owned())
        };
        let usual = PathBuf::from("/usr/local/bin");
        let found = || if self.root == Path::new("/") { beside() } else { None };
        self.bin_dir.clone().or_else(found).unwrap_or(usual)
    }

    /// A text of ours with the paths that hold here.
    fn localize(&self, text: &str) -> String {
        let text = text.replace("/usr/local/bin/", &format!("{}/", self.bin_dir().display()));
        text.replace("/etc/remora/", &format!("{}/", self.etc_dir.display()))
    }

    /// Paths go into shell words, JSON and TOML alike: none may need quoting in any of them.
    fn check(&self) -> anyhow::Result<()> {
        let bin_dir = self.bin_dir();
        let manager = self.manager_config.iter();
        for path in [&self.hooks_dir, &bin_dir, &self.etc_dir].into_iter().chain(manager) {
            let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._+-".contains(b);
            let bytes = path.as_os_str().as_encoded_bytes();
            ensure!(
                path.is_absolute() && bytes.iter().all(plain),
                "{}: must be an absolute path of letters, digits and ./_+- only",
                path.display()
            );
        }
        Ok(())
    }
}
