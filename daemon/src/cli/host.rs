//! `remora host`: puts hook and wrapper on a host from within a container, and takes them away again.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde::{Deserialize, Serialize};

/// Where runtimes find them, as the host sees it.
const PLACE: &str = "/opt/remora";
const BINARIES: [&str; 2] = ["remora-hook", "remora-runtime"];
/// What is there, and of which version.
const MANIFEST: &str = "installed.json";
/// What podman and CRI-O read, with the path of another installation in it.
const HOOK: &str = include_str!("../../../runtime-configs/podman/remora.json");
const HOOK_PATH: &str = "/usr/local/bin/remora-hook";
const HOOK_FILE: &str = "remora.json";
/// Where managers may have been told to run the wrapper.
const TOLD: [&str; 4] = [
    "etc/docker/daemon.json",
    "etc/containerd/config.toml",
    "etc/containers/containers.conf",
    "etc/crio/crio.conf",
];
/// Likewise, all files in these.
const TOLD_IN: [&str; 3] = ["etc/containerd", "etc/containerd/conf.d", "etc/crio/crio.conf.d"];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  remora host install --help\n  remora host uninstall --help")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put remora-hook and remora-runtime into /opt/remora/bin of the host, then the hook's configuration.
    Install {
        #[command(flatten)]
        host: Host,
        /// Where the binaries are; by default beside this one.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Take them away: the configuration first, the binaries last.
    Uninstall {
        #[command(flatten)]
        host: Host,
        /// Stay until ended, as what a DaemonSet runs must.
        #[arg(long)]
        stay: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Host {
    /// Where the host's root is mounted, or those of its folders that are needed.
    #[arg(long, value_name = "DIR")]
    host_root: PathBuf,
    /// Where podman and CRI-O look for hooks, as the host sees it.
    #[arg(long, value_name = "DIR", default_value = "/usr/share/containers/oci/hooks.d")]
    hooks_dir: PathBuf,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    version: String,
    hooks_dir: PathBuf,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args.verb {
        Verb::Install { host, from } => {
            let from = match from {
                Some(from) => from,
                None => beside()?,
            };
            host.install(&from)?;
            println!("{PLACE}: version {} is installed", env!("CARGO_PKG_VERSION"));
        }
        Verb::Uninstall { host, stay } => {
            host.uninstall()?;
            println!("{PLACE}: nothing is installed");
            if stay {
                wait_for_end()?;
            }
        }
    }
    Ok(())
}

impl Host {
    /// A path of the host's, as it is to be reached from here.
    fn at(&self, path: &Path) -> PathBuf {
        self.host_root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn place(&self) -> PathBuf {
        self.at(Path::new(PLACE))
    }

    /// Binaries first: a configured hook that is not there stops every container.
    fn install(&self, from: &Path) -> anyhow::Result<()> {
        let bin = self.place().join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("failed to create {}", bin.display()))?;
        for name in BINARIES {
            let source = from.join(name);
            let bytes = fs::read(&source).with_context(|| format!("failed to read {}", source.display()))?;
            put(&bin.join(name), &bytes, 0o755)?;
        }
        let before = self.manifest()?;
        let manifest =
            Manifest { version: env!("CARGO_PKG_VERSION").into(), hooks_dir: self.hooks_dir.clone() };
        put(&self.place().join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?, 0o644)?;
        if !before.hooks_dir.as_os_str().is_empty() && before.hooks_dir != self.hooks_dir {
            self.drop_hook(&before.hooks_dir)?;
        }
        let hooks = self.at(&self.hooks_dir);
        fs::create_dir_all(&hooks).with_context(|| format!("failed to create {}", hooks.display()))?;
        put(&hooks.join(HOOK_FILE), hook().as_bytes(), 0o644)
    }

    fn uninstall(&self) -> anyhow::Result<()> {
        let told = self.told();
        if !told.is_empty() {
            bail!(
                "{PLACE}/bin is still named in {}: take it out there and restart that service first, so that containers \
                 go on starting",
                told.join(", ")
            );
        }
        let manifest = self.manifest()?;
        let dirs = [&manifest.hooks_dir, &self.hooks_dir];
        for dir in dirs.into_iter().filter(|dir| !dir.as_os_str().is_empty()) {
            self.drop_hook(dir)?;
        }
        let place = self.place();
        for name in [MANIFEST, "bin/remora-runtime", "bin/remora-hook"] {
            gone(&place.join(name))?;
        }
        // Where they are mounts of their own they stay.
        let _ = fs::remove_dir(place.join("bin"));
        let _ = fs::remove_dir(&place);
        Ok(())
    }

    /// What an earlier call has left; nothing if there was none.
    fn manifest(&self) -> anyhow::Result<Manifest> {
        let path = self.place().join(MANIFEST);
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text)
                .with_context(|| format!("failed to read manifest {}", path.display()))?),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Manifest::default()),
            Err(e) => Err(e).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// Removes the hook's configuration, if it is ours: another installation's names another path.
    fn drop_hook(&self, dir: &Path) -> anyhow::Result<()> {
        let path = self.at(dir).join(HOOK_FILE);
        match fs::read_to_string(&path) {
            Ok(text) if text.contains(PLACE) => gone(&path),
            _ => Ok(()),
        }
    }

    /// Files in which a manager is told to run ours.
    fn told(&self) -> Vec<String> {
        let listed =
            TOLD_IN.iter().flat_map(|dir| fs::read_dir(self.host_root.join(dir)).into_iter().flatten());
        let listed = listed.flatten().map(|e| e.path());
        let all = TOLD.iter().map(|file| self.host_root.join(file)).chain(listed);
        let ours = format!("{PLACE}/bin/");
        let names = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(&ours));
        let mut found: Vec<String> = all.filter(names).map(|p| p.display().to_string()).collect();
        found.sort();
        found.dedup();
        found
    }
}

fn hook() -> String {
    HOOK.replace(HOOK_PATH, &format!("{PLACE}/bin/remora-hook"))
}

fn beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("failed to find this binary")?;
    Ok(own.parent().context("failed to find this binary's folder")?.to_owned())
}

/// Written beside and renamed: at no moment is there none, or half of one. Left alone if it is the same.
fn put(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let same = || -> std::io::Result<bool> {
        Ok(fs::metadata(path)?.permissions().mode() & 0o7777 == mode && fs::read(path)? == bytes)
    };
    if same().unwrap_or(false) {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    let written = || -> std::io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().with_context(|| format!("failed to write {}", path.display()))
}

fn gone(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(e).with_context(|| format!("failed to remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn wait_for_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    super::wait(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(root: &Path, hooks: &str) -> Host {
        Host { host_root: root.into(), hooks_dir: hooks.into() }
    }

    fn binaries(dir: &Path, text: &str) {
        for name in BINARIES {
            fs::write(dir.join(name), text).unwrap();
        }
    }

    #[test]
    fn what_is_installed_is_replaced_and_taken_away() {
        let (root, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, from) = (root.path(), from.path());
        binaries(from, "one");
        let first = host(root, "/etc/hooks.d");
        first.install(from).unwrap();
        let hook = root.join("opt/remora/bin/remora-hook");
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
        let before = inode(&hook);
        assert_eq!(fs::metadata(&hook).unwrap().permissions().mode() & 0o777, 0o755);
        let config: serde_json::Value =
            serde_json::from_slice(&fs::read(root.join("etc/hooks.d/remora.json")).unwrap()).unwrap();
        assert_eq!(config["hook"]["args"][3], "/opt/remora/bin/remora-hook");
        // Again: nothing is touched.
        first.install(from).unwrap();
        assert_eq!(inode(&hook), before);
        // Another version, and another folder for hooks.
        binaries(from, "two");
        let second = host(root, "/usr/hooks.d");
        second.install(from).unwrap();
        assert_eq!(fs::read(&hook).unwrap(), b"two");
        assert!(
            !root.join("etc/hooks.d/remora.json").exists() && root.join("usr/hooks.d/remora.json").exists()
        );
        second.uninstall().unwrap();
        second.uninstall().unwrap();
        assert!(!root.join("opt/remora").exists() && !root.join("usr/hooks.d/remora.json").exists());
    }

    #[test]
    fn what_is_missing_is_named_before_anything_is_configured() {
        let (root, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let host = host(root.path(), "/hooks.d");
        let error = format!("{:#}", host.install(from.path()).unwrap_err());
        assert!(error.contains("remora-hook: No such file"), "{error}");
        assert!(!root.path().join("hooks.d").exists());
    }

    #[test]
    fn a_wrapper_in_use_stays() {
        let (root, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        binaries(from.path(), "x");
        let host = host(root.path(), "/hooks.d");
        host.install(from.path()).unwrap();
        fs::create_dir_all(root.path().join("etc/containerd")).unwrap();
        let config = root.path().join("etc/containerd/config.toml");
        fs::write(&config, "BinaryName = \"/opt/remora/bin/remora-runtime\"\n").unwrap();
        let error = host.uninstall().unwrap_err().to_string();
        assert!(error.contains("etc/containerd/config.toml"), "{error}");
        assert!(root.path().join("hooks.d/remora.json").exists());
    }

    #[test]
    fn another_installations_hook_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("hooks.d")).unwrap();
        let other = root.path().join("hooks.d/remora.json");
        fs::write(&other, HOOK).unwrap();
        host(root.path(), "/hooks.d").uninstall().unwrap();
        assert!(other.exists());
    }
}
