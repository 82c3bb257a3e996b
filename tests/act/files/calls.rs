//! By 64-bit system calls.

use super::{error, say, text};

const CWD: i64 = libc::AT_FDCWD as i64;
const NOFOLLOW: i64 = libc::AT_SYMLINK_NOFOLLOW as i64;
const EMPTY_PATH: i64 = libc::AT_EMPTY_PATH as i64;
const FCHMODAT2: i64 = 452;

fn call(number: i64, args: &[i64]) -> i64 {
    let arg = |i: usize| args.get(i).copied().unwrap_or(0);
    // SAFETY: names are strings that outlive the call, and none of the calls writes to memory.
    let result = unsafe { libc::syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4)) };
    if result < 0 {
        -i64::from(std::io::Error::last_os_error().raw_os_error().expect("an error"))
    } else {
        result
    }
}

/// A call whose event is `what`.
fn told(what: &str, number: i64, args: &[i64]) {
    say(what, call(number, args));
}

pub fn run(dir: &str) {
    let path = |name: &str| format!("{dir}/{name}");
    let (a, b, link, gone) = (path("a"), path("b"), path("link"), path("gone"));
    let names = [&a, &b, &link, &gone].map(|p| text(p));
    let [at_a, at_b, at_link, at_gone] = names.each_ref().map(|n| n.as_ptr() as i64);
    let (c_dir, c_a, c_c, c_link, empty, dot) =
        (text(dir), text("a"), text("c"), text("link"), text(""), text("./d"));
    let at = |name: &std::ffi::CStr| name.as_ptr() as i64;

    let root = call(libc::SYS_open, &[at(&c_dir), libc::O_DIRECTORY.into()]);
    let fd = call(libc::SYS_openat, &[root, at(&c_a), (libc::O_CREAT | libc::O_RDWR).into(), 0o600]);
    assert!(root >= 0 && fd >= 0, "{} {}", error(root), error(fd));

    told(&format!("chmod {a} 0640"), libc::SYS_chmod, &[at_a, 0o640]);
    told(&format!("chmod {a} 0600"), libc::SYS_fchmod, &[fd, 0o600]);
    told(&format!("chmod {a} 4755"), libc::SYS_fchmodat, &[root, at(&c_a), 0o4755]);
    told(&format!("chmod {a} 0644 nofollow"), FCHMODAT2, &[root, at(&c_a), 0o644, NOFOLLOW]);
    told(&format!("chmod {a} 0666"), FCHMODAT2, &[fd, at(&empty), 0o666, EMPTY_PATH]);
    told(&format!("chmod {gone} 0700"), libc::SYS_chmod, &[at_gone, 0o700]);
    told("chmod  0700", libc::SYS_chmod, &[1, 0o700]);
    told("chmod  0700", libc::SYS_fchmod, &[9999, 0o700]);

    told(&format!("symlink {link} a"), libc::SYS_symlink, &[at(&c_a), at_link]);
    told(&format!("symlink {dir}/c gone"), libc::SYS_symlinkat, &[at(&text("gone")), root, at(&c_c)]);
    told(&format!("chown {a} 1 2"), libc::SYS_chown, &[at_a, 1, 2]);
    told(&format!("chown {a} 3 -1"), libc::SYS_fchown, &[fd, 3, -1]);
    told(&format!("chown {link} 4 5 nofollow"), libc::SYS_lchown, &[at_link, 4, 5]);
    told(&format!("chown {a} -1 6"), libc::SYS_fchownat, &[root, at(&c_a), -1, 6, 0]);
    told(&format!("chown {a} 7 8"), libc::SYS_fchownat, &[fd, at(&empty), 7, 8, EMPTY_PATH]);
    told(
        &format!("chown {link} 9 70000 nofollow"),
        libc::SYS_fchownat,
        &[root, at(&c_link), 9, 70000, NOFOLLOW],
    );
    told(&format!("chown {a} 4294967294 0"), libc::SYS_chown, &[at_a, 0xffff_fffe, 0]);

    told(&format!("link {a} {b}"), libc::SYS_link, &[at_a, at_b]);
    told(&format!("link {a} {b}"), libc::SYS_linkat, &[root, at(&c_a), CWD, at_b, 0]);
    told(&format!("link {a} {dir}/link"), libc::SYS_linkat, &[fd, at(&empty), root, at(&c_link), EMPTY_PATH]);

    told(&format!("mkdir {gone} 0700"), libc::SYS_mkdir, &[at_gone, 0o700]);
    told(&format!("mkdir {dir}/./d 0755"), libc::SYS_mkdirat, &[root, at(&dot), 0o755]);
    told(
        &format!("mknod {dir}/fifo fifo 0600"),
        libc::SYS_mknodat,
        &[root, at(&text("fifo")), (libc::S_IFIFO | 0o600).into()],
    );
    told(&format!("mknod {dir}/fifo regular 0600"), libc::SYS_mknod, &[at(&text(&path("fifo"))), 0o600]);
    let null = (libc::S_IFBLK | 0o600).into();
    // new_encode_dev(8, 300): its minor number does not fit the lower byte.
    told(
        &format!("mknod {dir}/fifo block_device 0600 8:300"),
        libc::SYS_mknodat,
        &[root, at(&text("fifo")), null, 0x10_082c],
    );
    told(&format!("truncate {a} 5000000000"), libc::SYS_truncate, &[at_a, 5_000_000_000]);
    told(&format!("truncate {a} 10"), libc::SYS_ftruncate, &[fd, 10]);
    told(
        &format!("rename {b} {dir}/b2 RENAME_NOREPLACE"),
        libc::SYS_renameat2,
        &[CWD, at_b, root, at(&text("b2")), 1],
    );
    for name in ["b2", "c", "link", "fifo", "a"] {
        told(&format!("unlink {dir}/{name}"), libc::SYS_unlinkat, &[root, at(&text(name)), 0]);
    }
    for name in ["gone", "d"] {
        let flags = libc::AT_REMOVEDIR.into();
        told(&format!("unlink {dir}/{name} directory"), libc::SYS_unlinkat, &[root, at(&text(name)), flags]);
    }
}
