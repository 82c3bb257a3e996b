//! Paths and DNS names without what is made up in them.

use super::name;

const FOLDERS_MAX: usize = 16;
/// Bytes.
const LENGTH_MAX: usize = 256;
const LABELS_MAX: usize = 3;
/// Where Python keeps what it compiled.
const BYTECODE: &str = "__pycache__";

/// Adds a path, or a text that may be one.
pub fn push(out: &mut String, path: &str) {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let start = out.len();
    let mut folder = "";
    for (i, name) in path.split('/').enumerate() {
        if i > 0 {
            out.push('/');
        }
        if i > FOLDERS_MAX || out.len() - start > LENGTH_MAX {
            out.push(name::MADE_UP);
            return;
        }
        if name == BYTECODE {
            return push_bytecode(out, start);
        }
        match folder {
            "tmp" => name::push_temporary(out, name),
            _ => name::push(out, name),
        }
        folder = name;
    }
}

/// Which modules an interpreter happens to compile first is no behaviour: of their folders the first two stay.
fn push_bytecode(out: &mut String, start: usize) {
    if let Some((end, _)) = out[start..].match_indices('/').nth(2) {
        out.truncate(start + end + 1);
        out.push_str("#/");
    }
    out.push_str(BYTECODE);
    out.push_str("/#");
}

pub fn general(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    push(&mut out, path);
    out
}

/// The last labels, in small letters and with a dot at the end; what is before them is one made-up part.
pub fn domain(name: &str) -> String {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<_> = name.split('.').collect();
    let left_out = labels.len().saturating_sub(LABELS_MAX);
    let mut out = String::with_capacity(name.len() + 1);
    if left_out > 0 {
        out.push_str("#.");
    }
    for label in &labels[left_out..] {
        name::push(&mut out, label);
        out.push('.');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_what_is_made_up() {
        for (path, want) in [
            ("/etc/passwd", "/etc/passwd"),
            ("/proc/4711/task/4712/stat", "/proc/#/task/#/stat"),
            ("/tmp/tmp.Xk2pQ9zLma/x", "/tmp/tmp.#/x"),
            ("/tmp/build.SDotRz/hello", "/tmp/build.#/hello"),
            ("/tmp/build.alcank/hello", "/tmp/build.#/hello"),
            ("/tmp/ccedjHKD.cdtor.o", "/tmp/cc#.cdtor.o"),
            ("/tmp/cc0aB9xz", "/tmp/cc#"),
            ("/tmp/systemd-private", "/tmp/systemd-private"),
            ("/tmp/hello.Dockerfile", "/tmp/hello.#"),
            ("/srv/hello.Dockerfile", "/srv/hello.Dockerfile"),
            ("/var/cache/d41d8cd98f00b204e9800998ecf8427e", "/var/cache/#"),
            ("/dev/pts/0", "/dev/pts/#"),
            ("/", "/"),
            ("/tmp/*", "/tmp/\\*"),
            ("/x (deleted)", "/x"),
            ("/usr/lib/python3.11/json/__pycache__/a.cpython-311.pyc.1394", "/usr/lib/#/__pycache__/#"),
            ("/srv/__pycache__/a.cpython-311.pyc", "/srv/__pycache__/#"),
            ("/srv/a/__pycache__/a.cpython-311.pyc", "/srv/a/#/__pycache__/#"),
        ] {
            assert_eq!(general(path), want);
        }
        assert_eq!(general(&"/a".repeat(5000)).len(), 2 * FOLDERS_MAX + 2);
    }

    #[test]
    fn domains_are_their_suffix() {
        for (name, want) in [
            ("Example.COM", "example.com."),
            ("api.example.com.", "api.example.com."),
            ("a.b.c.svc.cluster.local", "#.svc.cluster.local."),
            ("0a1b2c3d4e5f.evil.example", "#.evil.example."),
            (".", "."),
        ] {
            assert_eq!(domain(name), want);
        }
    }
}
