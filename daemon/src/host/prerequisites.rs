//! What must be there before anything is traced, checked once and first; each finding says what to do.

use super::cgroup::CgroupRoot;
use crate::config::Config;
use caps::{CapSet, Capability, CapsHashSet};
use nix::mount::{MsFlags, mount};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statfs::{BPF_FS_MAGIC, TRACEFS_MAGIC, statfs};
use serde::Serialize;
use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Ring buffers with BTF, and the floor that is tested: (major, minor).
const KERNEL_FLOOR: (u32, u32) = (5, 10);
/// From here on BPF memory counts as memory of the cgroup, not as locked memory.
const NO_MEMLOCK: (u32, u32) = (5, 11);
const BTF: &str = "/sys/kernel/btf/vmlinux";
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// What was found; or that and what to do about it.
pub type Verdict = Result<String, (String, String)>;

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub name: Cow<'static, str>,
    pub ok: bool,
    /// Whether nothing works without it.
    pub required: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty where nothing need be done.
    pub advice: String,
}

impl Finding {
    pub fn new(name: impl Into<Cow<'static, str>>, required: bool, verdict: Verdict) -> Self {
        let name = name.into();
        match verdict {
            Ok(detail) => Self { name, required, ok: true, detail, advice: String::new() },
            Err((detail, advice)) => Self { name, required, ok: false, detail, advice },
        }
    }

    /// Whether the daemon must not start.
    pub fn fatal(&self) -> bool {
        self.required && !self.ok
    }
}

pub fn failed(detail: impl Into<String>, advice: impl Into<String>) -> Verdict {
    Err((detail.into(), advice.into()))
}

/// All findings, those that are required first.
pub fn check(config: &Config) -> Vec<Finding> {
    let release = kernel_release();
    let mut findings = vec![
        Finding::new("kernel", true, kernel(&release)),
        Finding::new("BTF", true, btf(Path::new(BTF))),
        Finding::new("cgroup2", true, cgroup2()),
        Finding::new("bpffs", true, bpffs(&config.bpffs)),
        Finding::new("capabilities", true, capabilities(&effective())),
    ];
    if parse_release(&release).is_some_and(|version| version < NO_MEMLOCK) {
        findings.push(Finding::new("memlock", true, memlock(&effective())));
    }
    let locked = fs::read_to_string("/sys/kernel/security/lockdown");
    findings.push(Finding::new("lockdown", false, lockdown(locked)));
    findings.push(Finding::new("tracefs", false, tracefs()));
    findings.push(Finding::new("LSM", false, lsm(fs::read_to_string("/sys/kernel/security/lsm"))));
    let jit = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable");
    findings.push(Finding::new("JIT", false, jit_enabled(jit)));
    findings
}

/// Mounts a BPF file system where none is. Says whether it did.
pub fn mount_bpffs(at: &Path) -> io::Result<bool> {
    if is_bpffs(at) {
        return Ok(false);
    }
    fs::create_dir_all(at)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RELATIME;
    mount(Some("bpf"), at, Some("bpf"), flags, Some("mode=700"))?;
    Ok(true)
}

fn kernel_release() -> String {
    let name = nix::sys::utsname::uname();
    name.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// Major and minor number of a release such as `6.1.0-18-cloud-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(release: &str) -> Verdict {
    let (major, minor) = KERNEL_FLOOR;
    match parse_release(release) {
        Some(version) if version >= KERNEL_FLOOR => Ok(format!("Linux {release}")),
        Some(_) => failed(format!("Linux {release}"), format!("boot a kernel of {major}.{minor} or later")),
        None => failed(format!("unknown release {release:?}"), "report this kernel's `uname -r`"),
    }
}

fn btf(path: &Path) -> Verdict {
    match File::open(path).and_then(|file| file.metadata()) {
        Ok(meta) => Ok(format!("{}, {} bytes", path.display(), meta.len())),
        Err(e) => failed(
            format!("failed to open {}: {e}", path.display()),
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions do; in a container, mount the host's /sys",
        ),
    }
}

fn cgroup2() -> Verdict {
    match CgroupRoot::discover() {
        Ok(root) => Ok(root.path().display().to_string()),
        Err(e) => {
            let text = e.to_string();
            let elsewhere = (text.as_str(), "make the host's /proc and cgroup2 mount visible");
            let (detail, advice) = text.split_once("; ").unwrap_or(elsewhere);
            failed(detail, advice)
        }
    }
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC)
}

fn bpffs(path: &Path) -> Verdict {
    let at = path.display();
    if is_bpffs(path) {
        Ok(at.to_string())
    } else {
        failed(format!("none at {at}"), format!("mount -t bpf bpf {at}"))
    }
}

fn effective() -> CapsHashSet {
    caps::read(None, CapSet::Effective).unwrap_or_default()
}

/// A capability, the greater one that includes it, and what it is needed for.
const CAPABILITIES: [(Capability, Option<Capability>, &str); 5] = [
    (Capability::CAP_BPF, Some(Capability::CAP_SYS_ADMIN), "load programs"),
    (Capability::CAP_PERFMON, Some(Capability::CAP_SYS_ADMIN), "trace the kernel"),
    (Capability::CAP_NET_ADMIN, Some(Capability::CAP_SYS_ADMIN), "attach network programs to cgroups"),
    (Capability::CAP_SYS_PTRACE, None, "see other users' processes"),
    (Capability::CAP_DAC_READ_SEARCH, Some(Capability::CAP_DAC_OVERRIDE), "read other users' bundles"),
];

fn capabilities(effective: &CapsHashSet) -> Verdict {
    let has = |cap: &Capability| effective.contains(cap);
    let missing =
        CAPABILITIES.iter().filter(|(cap, greater, _)| !has(cap) && !greater.as_ref().is_some_and(has));
    let missing: Vec<String> = missing.map(|(cap, _, purpose)| format!("{cap} (to {purpose})")).collect();
    if missing.is_empty() {
        return Ok("all that are needed".into());
    }
    failed(
        format!("missing {}", missing.join(", ")),
        "run as root, or grant them (AmbientCapabilities= and CapabilityBoundingSet= in the unit)",
    )
}

/// libbpf raises the limit by itself where it may.
fn memlock(effective: &CapsHashSet) -> Verdict {
    const ADVICE: &str = "set LimitMEMLOCK=infinity in the unit, or run `ulimit -l unlimited` first";
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((_, RLIM_INFINITY)) => Ok("unlimited".into()),
        Ok(_) if effective.contains(&Capability::CAP_SYS_RESOURCE) => Ok("may be raised".into()),
        Ok((_, hard)) => {
            failed(format!("at most {hard} bytes, which BPF maps count as on this kernel"), ADVICE)
        }
        Err(e) => failed(format!("failed to read the limit: {e}"), ADVICE),
    }
}

fn tracefs() -> Verdict {
    let mounted = |path: &&str| statfs(*path).is_ok_and(|fs| fs.filesystem_type() == TRACEFS_MAGIC);
    match TRACEFS.into_iter().find(mounted) {
        Some(path) => Ok(path.into()),
        None => failed(
            "not mounted: programs of type tracepoint will be refused",
            format!("mount -t tracefs tracefs {}", TRACEFS[0]),
        ),
    }
}

/// From 'integrity' on some program types are refused, with 'confidentiality' nothing of the kernel's may be read.
fn lockdown(mode: io::Result<String>) -> Verdict {
    let Ok(list) = mode else { return Ok("not in this kernel".into()) };
    let mode = list.split_once('[').and_then(|(_, rest)| Some(rest.split_once(']')?.0)).unwrap_or("none");
    match mode {
        "confidentiality" => failed(
            "confidentiality: programs may not read the kernel's memory, so that most tracers are refused",
            "boot with lockdown=integrity, or without Secure Boot",
        ),
        mode => Ok(mode.into()),
    }
}

/// A kernel accepts LSM programs without `bpf` in this list, and never calls them.
fn lsm(list: io::Result<String>) -> Verdict {
    match list {
        Ok(list) if list.trim().split(',').any(|name| name == "bpf") => Ok(list.trim().into()),
        Ok(list) => {
            let advice = format!("add bpf to the kernel command line: lsm={},bpf", list.trim());
            failed("bpf is not among the active ones: LSM programs would never fire", advice)
        }
        Err(e) => failed(
            format!("failed to read the list of active ones: {e}"),
            "mount -t securityfs securityfs /sys/kernel/security",
        ),
    }
}

fn jit_enabled(setting: io::Result<String>) -> Verdict {
    match setting.as_deref().map(str::trim) {
        Ok("0") => failed(
            "off: programs are interpreted, several times slower",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        Ok(_) => Ok("on".into()),
        // Kernels built with CONFIG_BPF_JIT_ALWAYS_ON may hide the setting.
        Err(_) => Ok("no setting: as the kernel was built".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert_eq!(parse_release("6.1.0-18-cloud-amd64"), Some((6, 1)));
        assert_eq!(parse_release("5.10"), Some((5, 10)));
        assert_eq!(parse_release("custom"), None);
        assert!(kernel("5.4.0-91-generic").is_err() && kernel("4.18.0-553.el8").is_err());
        assert!(kernel("5.10.0-32-amd64").is_ok() && kernel("10.0").is_ok());
    }

    #[test]
    fn missing_capabilities_are_named_with_their_use() {
        let all: CapsHashSet = CAPABILITIES.iter().map(|(cap, ..)| *cap).collect();
        assert!(capabilities(&all).is_ok());
        let none = capabilities(&CapsHashSet::new()).unwrap_err().0;
        assert!(none.contains("CAP_BPF (to load programs)") && none.contains("CAP_SYS_PTRACE"), "{none}");
        let admin = CapsHashSet::from([Capability::CAP_SYS_ADMIN, Capability::CAP_DAC_OVERRIDE]);
        assert_eq!(
            capabilities(&admin).unwrap_err().0,
            "missing CAP_SYS_PTRACE (to see other users' processes)"
        );
    }

    #[test]
    fn lsm_needs_the_whole_word() {
        assert!(lsm(Ok("lockdown,capability,bpf\n".into())).is_ok());
        let (_, advice) = lsm(Ok("capability,bpfilter\n".into())).unwrap_err();
        assert!(advice.ends_with("lsm=capability,bpfilter,bpf"), "{advice}");
        assert!(lsm(Err(io::ErrorKind::NotFound.into())).unwrap_err().1.contains("securityfs"));
    }

    #[test]
    fn only_the_closest_lockdown_is_in_the_way() {
        assert_eq!(lockdown(Ok("none [integrity] confidentiality\n".into())).unwrap(), "integrity");
        assert!(lockdown(Ok("[none] integrity confidentiality\n".into())).is_ok());
        assert!(lockdown(Ok("none integrity [confidentiality]\n".into())).is_err());
        assert!(lockdown(Err(io::ErrorKind::NotFound.into())).is_ok());
    }

    #[test]
    fn an_interpreter_is_reported() {
        assert!(
            jit_enabled(Ok("1\n".into())).is_ok() && jit_enabled(Err(io::ErrorKind::NotFound.into())).is_ok()
        );
        assert!(jit_enabled(Ok("0\n".into())).is_err());
    }

    #[test]
    fn what_is_absent_says_what_to_do() {
        let (detail, advice) = btf(Path::new("/nonexistent/vmlinux")).unwrap_err();
        assert!(detail.contains("/nonexistent/vmlinux") && advice.contains("CONFIG_DEBUG_INFO_BTF"));
        assert_eq!(bpffs(Path::new("/")).unwrap_err().1, "mount -t bpf bpf /");
    }

    #[test]
    fn a_failure_comes_with_advice() {
        let findings = check(&Config { bpffs: "/nonexistent".into(), ..Config::default() });
        assert!(findings.iter().any(|f| f.name == "bpffs" && f.fatal()));
        for finding in findings.iter().filter(|finding| !finding.ok) {
            assert!(!finding.advice.is_empty(), "{finding:?}");
        }
    }
}
