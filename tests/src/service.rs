//! Images of services as Debian packages them: the programs of this host, with what they need, on busybox.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Podman, output, run, runc::put_program, source, wait_for};

/// How to run a service, and what shows that it works.
#[derive(Debug)]
pub struct Service {
    pub name: &'static str,
    /// What the container runs.
    pub command: &'static str,
    /// As which user.
    pub user: &'static str,
    /// Executed in it by a shell; prints what is expected once the service works.
    pub work: &'static str,
    pub expected: &'static str,
    fill: fn(&Path),
}

pub const NGINX: Service = Service {
    name: "nginx",
    command: "exec nginx -c /etc/nginx.conf",
    user: "0",
    work: "wget -q -O - http://127.0.0.1:8080/page && wget -q -O - http://127.0.0.1:8080/none 2>&1; true",
    expected: "a page",
    fill: nginx,
};

pub const REDIS: Service = Service {
    name: "redis",
    command: "exec redis-server --port 6379 --dir /tmp --appendonly yes",
    user: "0",
    work: "redis-cli set key value && redis-cli save && redis-cli get key",
    expected: "value",
    fill: redis,
};

pub const POSTGRES: Service = Service {
    name: "postgres",
    command: "initdb -D /tmp/data -A trust --no-locale -E UTF8 && exec postgres -D /tmp/data -k /tmp",
    user: "999",
    work: "psql -h /tmp -U postgres -Atc 'create table if not exists t(n int); insert into t values (6); \
        checkpoint; select 7 * max(n) from t'",
    expected: "42",
    fill: postgres,
};

/// A script that does this and that, and goes on.
pub const SCRIPT: Service = Service {
    name: "script",
    command: "mkdir /tmp/d && while :; do date >/tmp/d/now; ls -l / | sort | tail -n 3 >/tmp/d/list; sleep 0.2; done",
    user: "0",
    work: "test -s /tmp/d/list && cat /tmp/d/now >/dev/null && echo it works",
    expected: "it works",
    fill: |_| (),
};

impl Service {
    /// Makes the image; its name.
    pub fn image(&self, podman: &Podman) -> String {
        let name = format!("localhost/remora-{}", self.name);
        let dir = tempfile::tempdir().expect("failed to make a folder");
        let (root, archive) = (dir.path().join("root"), dir.path().join("image.tar"));
        fs::create_dir_all(root.join("etc")).expect("failed to make a folder");
        (self.fill)(&root);
        let mut image = Command::new(source("tests/image"));
        run(image.arg(&archive).arg(&root).env("IMAGE_NAME", &name));
        run(podman.command(&["load", "--quiet", "--input"]).arg(archive));
        name
    }

    /// Starts a container of it, and waits until it works.
    pub fn start(&self, podman: &Podman, image: &str, name: &str, options: &[&str]) {
        let mut command = podman.command(&["run", "--detach", "--user", self.user, "--name", name]);
        run(command.args(options).args([image, "/bin/sh", "-c", self.command]));
        wait_for(&format!("{name} to work"), || self.works(podman, name).then_some(()));
    }

    /// Whether its work can be done.
    pub fn works(&self, podman: &Podman, name: &str) -> bool {
        let done = output(&mut podman.command(&["exec", "--user", self.user, name, "sh", "-c", self.work]));
        String::from_utf8_lossy(&done.stdout).contains(self.expected)
    }
}

fn found(name: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(|dir| Path::new(dir).join(name));
    places.into_iter().find(|p| p.exists()).unwrap_or_else(|| panic!("no {name}: make deps installs it"))
}

fn nginx(root: &Path) {
    put_program(&found("nginx"), root, "usr/bin/nginx");
    for dir in ["var/log/nginx", "var/lib/nginx", "www"] {
        fs::create_dir_all(root.join(dir)).expect("failed to make a folder");
    }
    fs::write(root.join("www/page"), "a page\n").expect("failed to write");
    let paths =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|p| format!("{p}_temp_path /tmp/{p};"));
    let conf = format!(
        "user root; daemon off; worker_processes 2; pid /tmp/pid; error_log /tmp/error; events {{ }}\n\
         http {{ access_log /tmp/access; {} server {{ listen 127.0.0.1:8080; root /www; }} }}\n",
        paths.concat()
    );
    fs::write(root.join("etc/nginx.conf"), conf).expect("failed to write");
}

/// One program that is the server if it is called so.
fn redis(root: &Path) {
    put_program(&found("redis-check-rdb"), root, "usr/bin/redis-server");
    put_program(&found("redis-cli"), root, "usr/bin/redis-cli");
}

/// Programs find their files beside themselves, wherever that is.
fn postgres(root: &Path) {
    let version =
        fs::read_dir("/usr/lib/postgresql").ok().and_then(|mut all| Some(all.next()?.ok()?.file_name()));
    let version = version.expect("no postgresql: make deps installs it");
    let lib = Path::new("/usr/lib/postgresql").join(&version);
    for name in ["postgres", "initdb", "psql"] {
        let path = lib.join("bin").join(name);
        put_program(&path, root, path.strip_prefix("/").expect("absolute").to_str().expect("a name"));
        let link = root.join("usr/bin").join(name);
        fs::create_dir_all(root.join("usr/bin")).expect("failed to make a folder");
        std::os::unix::fs::symlink(&path, link).expect("failed to link");
    }
    let share = Path::new("/usr/share/postgresql").join(&version);
    for folder in [lib.join("lib"), share] {
        copy(&folder, root);
    }
    // What compiles queries would bring a compiler with it; without, they are interpreted.
    let _ = fs::remove_dir_all(root.join(lib.strip_prefix("/").expect("absolute")).join("lib/bitcode"));
    let _ = fs::remove_file(root.join(lib.strip_prefix("/").expect("absolute")).join("lib/llvmjit.so"));
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999::/tmp:/bin/sh\n")
        .expect("failed to write");
}

fn copy(folder: &Path, root: &Path) {
    let to: PathBuf = root.join(folder.strip_prefix("/").expect("absolute"));
    fs::create_dir_all(to.parent().expect("a folder")).expect("failed to make a folder");
    run(Command::new("cp").args(["-r"]).arg(folder).arg(to));
}
