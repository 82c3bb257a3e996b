//! A seccomp profile in the form of the OCI runtime specification.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};

use super::{Evidence, Which, write};
use crate::cli::events::at;

/// Of a program's own, though nobody may have seen them: the kernel goes on with an interrupted call by itself, and a
/// profile without an end is none.
const ALWAYS: [&str; 4] = ["exit", "exit_group", "restart_syscall", "rt_sigreturn"];

/// What runtimes call between the profile's loading and the container's exec. Without `no_new_privs` the profile is loaded
/// early, while there are privileges for it, and changes of user and capabilities come behind it.
/// Measured with strace, for `run`, `create` and `exec`, with and without a terminal and `no_new_privs`, as root and as another:
/// runc 1.1.5 and crun 1.8.1.
const RUNC: [&str; 25] = [
    "capget",
    "capset",
    "chdir",
    "close",
    "epoll_ctl",
    "execve",
    "faccessat2",
    "fchown",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getpid",
    "getppid",
    "newfstatat",
    "openat",
    "prctl",
    "read",
    "rt_sigreturn",
    "setgid",
    "setgroups",
    "setuid",
    "write",
];
const CRUN: [&str; 15] = [
    "capset",
    "close",
    "execve",
    "fchown",
    "ioctl",
    "openat",
    "prctl",
    "read",
    "rt_sigaction",
    "rt_sigprocmask",
    "setgroups",
    "setresgid",
    "setresuid",
    "statx",
    "write",
];
/// What Go's scheduler may call on the same thread at any time, and later versions of runc in the place of others: seldom
/// or never seen in a measurement, and fatal to a start where they are refused.
const SOMETIMES: [&str; 17] = [
    "clone",
    "close_range",
    "epoll_pwait",
    "faccessat",
    "getpgrp",
    "gettid",
    "madvise",
    "mmap",
    "munmap",
    "nanosleep",
    "openat2",
    "readlinkat",
    "rseq",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "tgkill",
];

pub async fn run(which: Which, socket: &Path) -> anyhow::Result<()> {
    let mut evidence = Evidence::gather(&which, socket, |table| table["role"] == "syscalls").await?;
    let path = evidence.field(|field| field["type"] == "syscall")?;
    let used = Used::of(evidence.rows.iter().map(|row| at(row, &path)));
    evidence.notes.extend(used.notes());
    evidence.tell();
    eprintln!("remora: {} system calls were used; what was not is refused with EPERM", used.names.len());
    let comment = format!("used by {}, {}", evidence.view.name, evidence.span());
    write(&which, &used.profile(&comment))
}

#[derive(Debug, Default, PartialEq)]
struct Used {
    names: BTreeSet<String>,
    /// Whether any of them came in the 32-bit way.
    compat: bool,
    /// What no profile can name.
    nameless: BTreeSet<String>,
}

impl Used {
    fn of(calls: impl Iterator<Item = String>) -> Self {
        let mut used = Self::default();
        for call in calls {
            let (compat, name) = match call.split_once(':') {
                Some((_, name)) => (true, name),
                None => (false, call.as_str()),
            };
            let is_name = name != "unknown" && name.starts_with(|c: char| c.is_ascii_lowercase());
            if is_name {
                used.compat |= compat;
                used.names.insert(name.to_owned());
            } else {
                used.nameless.insert(call);
            }
        }
        used
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.nameless.is_empty() {
            let list = self.nameless.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            notes.push(format!("left out, since they have no name: {list}"));
        }
        if self.compat {
            notes.push("32-bit calls were used: what either table used is allowed in both".into());
        }
        if self.names.is_empty() {
            notes.push("no system call was seen: nothing but the runtime's part is allowed".into());
        }
        notes
    }

    fn profile(&self, comment: &str) -> Value {
        let runtime: BTreeSet<&str> = [&RUNC[..], &CRUN, &SOMETIMES, &ALWAYS].concat().into_iter().collect();
        let runtime: Vec<&str> = runtime.into_iter().filter(|name| !self.names.contains(*name)).collect();
        let allow = |names: Value, comment: &str| json!({ "names": names, "action": "SCMP_ACT_ALLOW", "comment": comment });
        // A rule without names is refused by some that read it.
        let mut rules = Vec::new();
        if !self.names.is_empty() {
            rules.push(allow(json!(self.names), comment));
        }
        rules
            .push(allow(json!(runtime), "needed by runc or crun before the container's program is executed"));
        json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": libc::EPERM,
            "architectures": architectures(self.compat),
            "syscalls": rules,
        })
    }
}

fn architectures(compat: bool) -> Vec<&'static str> {
    let (native, other) = match std::env::consts::ARCH {
        "aarch64" => ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
        _ => ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
    };
    if compat { vec![native, other] } else { vec![native] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(calls: &[&str]) -> Used {
        Used::of(calls.iter().map(|c| (*c).to_owned()))
    }

    #[test]
    fn a_profile_has_what_was_used_and_what_the_runtime_needs() {
        let profile = used(&["read", "uname"]).profile("c");
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(profile["defaultErrnoRet"], 1);
        assert_eq!(profile["syscalls"][0]["names"], json!(["read", "uname"]));
        let rest: Vec<&str> =
            profile["syscalls"][1]["names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        assert!(["execve", "capset", "setresuid", "exit_group"].iter().all(|n| rest.contains(n)), "{rest:?}");
        assert!(rest.is_sorted() && !rest.contains(&"read") && !rest.contains(&"mount"), "{rest:?}");
        assert_eq!(profile["architectures"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn what_has_no_name_is_told_and_left_out() {
        let used = used(&["i386:getpid", "unknown", "600", "i386:1023"]);
        assert_eq!(used.names.iter().collect::<Vec<_>>(), ["getpid"]);
        assert_eq!(used.nameless.len(), 3);
        assert!(used.compat && used.notes()[0].contains("600") && used.notes()[1].contains("32-bit"));
        assert_eq!(used.profile("")["architectures"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn names_are_those_of_the_kernel() {
        use syscalls::Sysno;
        for name in [&RUNC[..], &CRUN, &SOMETIMES, &ALWAYS].concat() {
            assert!(name.parse::<Sysno>().is_ok(), "{name}");
        }
    }
}
