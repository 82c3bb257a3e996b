//! Which files a manager needs, and what must be in them.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::containerd::{cri, nri};
use super::{Kind, Options, Runtime, binary, docker, files, spec};

pub const HOOK_FILE: &str = include_str!("../../../runtime-configs/podman/remora.json");
pub const HOOK_FILE_LABELS: &str = include_str!("../../../runtime-configs/podman/remora-labels.json");
pub const GUARDED_RUNTIME: &str = include_str!("../../../runtime-configs/guarded-runtime");
const HOOK: &str = "remora-hook";
const WRAPPER: &str = "remora-runtime";

/// A file as it must be.
#[derive(Debug)]
pub struct Target {
    /// As the manager sees it.
    pub path: PathBuf,
    pub kind: Kind,
    pub current: Option<String>,
    pub wanted: Option<String>,
    pub mode: u32,
}

impl Options {
    fn manager_config(&self) -> PathBuf {
        let usual = match self.runtime {
            Runtime::Docker => "/etc/docker/daemon.json",
            _ => "/etc/containerd/config.toml",
        };
        self.manager_config.clone().unwrap_or_else(|| usual.into())
    }

    fn wrapper(&self) -> PathBuf {
        self.etc_dir.join("guarded-runtime")
    }

    fn base_spec(&self) -> PathBuf {
        self.manager_config().with_file_name(cri::BASE_SPEC)
    }

    /// The files that may have parts of ours, the manager's own configuration last.
    pub fn places(&self) -> Vec<(PathBuf, Kind)> {
        let config = self.manager_config();
        match self.runtime {
            Runtime::Podman | Runtime::Crio => vec![(self.hooks_dir.join("remora.json"), Kind::Whole)],
            Runtime::Containerd => {
                let drop_in = config.with_file_name("conf.d").join(cri::DROP_IN);
                vec![(self.base_spec(), Kind::Whole), (drop_in, Kind::Whole), (config, Kind::Cri)]
            }
            Runtime::ContainerdNri => vec![(config, Kind::Nri)],
            Runtime::Docker => vec![(self.wrapper(), Kind::Whole), (config, Kind::Docker)],
            Runtime::Nerdctl => vec![(self.wrapper(), Kind::Whole)],
        }
    }

    /// Reads what is there and says what must be; changes nothing.
    pub fn plan(&self) -> anyhow::Result<Vec<Target>> {
        self.check()?;
        self.check_binaries()?;
        match self.runtime {
            Runtime::Podman | Runtime::Crio => {
                let text = if self.labels { HOOK_FILE_LABELS } else { HOOK_FILE };
                Ok(vec![self.whole(self.hooks_dir.join("remora.json"), self.localize(text), 0o644)?])
            }
            Runtime::Containerd => self.plan_cri(),
            Runtime::ContainerdNri => {
                let version = || files::version(&self.containerd);
                Ok(vec![self.edited(Kind::Nri, |text| nri::put(text, version))?])
            }
            Runtime::Docker => {
                let wrapper = self.wrapper().display().to_string();
                let config = self.edited(Kind::Docker, |text| {
                    docker::put(text.unwrap_or_default(), &wrapper, self.default).map(Some)
                })?;
                Ok(vec![self.guarded_runtime()?, config])
            }
            Runtime::Nerdctl => Ok(vec![self.guarded_runtime()?]),
        }
    }

    fn check_binaries(&self) -> anyhow::Result<()> {
        let wrapper = matches!(self.runtime, Runtime::Docker | Runtime::Nerdctl).then_some(WRAPPER);
        for name in [HOOK].into_iter().chain(wrapper) {
            binary::check(&self.on_disk(&self.bin_dir().join(name)))?;
        }
        binary::check(&self.on_disk(Path::new("/bin/sh")))
            .context("the guard against a missing hook needs it")
    }

    fn plan_cri(&self) -> anyhow::Result<Vec<Target>> {
        let (config, base) = (self.manager_config(), self.base_spec());
        let text = files::read(&self.on_disk(&config))?.unwrap_or_default();
        let named = || format!("failed to edit {}", config.display());
        let own = cri::own_spec(&text).with_context(named)?;
        let from = own.map(|path| self.on_disk(Path::new(&path)));
        let base_text = self.localize(&spec::with_hooks(from.as_deref(), &self.ctr)?);
        let base_path = base.display().to_string();
        let handler = match cri::drop_in_path(&text, &config).with_context(named)? {
            Some(path) => {
                let drop_in = cri::drop_in(&text, &base_path, self.default).with_context(named)?;
                self.whole(path, drop_in, 0o644)?
            }
            None => {
                let put = |text: Option<&str>| cri::put(text.unwrap_or_default(), &base_path, self.default);
                self.edited(Kind::Cri, |text| put(text).map(Some))?
            }
        };
        Ok(vec![self.whole(base, base_text, 0o644)?, handler])
    }

    fn guarded_runtime(&self) -> anyhow::Result<Target> {
        self.whole(self.wrapper(), self.localize(GUARDED_RUNTIME), 0o755)
    }

    fn whole(&self, path: PathBuf, text: String, mode: u32) -> anyhow::Result<Target> {
        let current = files::read(&self.on_disk(&path))?;
        if let Some(text) = &current {
            anyhow::ensure!(
                text.is_empty() || text.contains("remora"),
                "{} is there already and is not remora's: move it away first",
                path.display()
            );
        }
        Ok(Target { path, kind: Kind::Whole, current, wanted: Some(text), mode })
    }

    fn edited(
        &self,
        kind: Kind,
        put: impl FnOnce(Option<&str>) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<Target> {
        let path = self.manager_config();
        let current = files::read(&self.on_disk(&path))?;
        let wanted = put(current.as_deref()).with_context(|| format!("failed to edit {}", path.display()))?;
        Ok(Target { path, kind, current, wanted, mode: 0o644 })
    }
}
