//! `remora install-runtime` and `uninstall-runtime`: each manager has its files back to the byte, and what is wrong is refused.

mod with_managers;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use remora_tests::{build_dir, output, script, source};
use tempfile::TempDir;

/// `remora VERB-runtime RUNTIME` with these arguments.
fn remora(verb: &str, runtime: &str, args: &[impl AsRef<OsStr>]) -> Output {
    let mut command = Command::new(build_dir().join("remora"));
    output(command.arg(format!("{verb}-runtime")).arg(runtime).args(args))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn does(verb: &str, runtime: &str, args: &[impl AsRef<OsStr>]) -> String {
    let output = remora(verb, runtime, args);
    assert!(output.status.success(), "{verb} {runtime}: {}", said(&output));
    said(&output)
}

/// Path, mode, owner and content of all that is below a folder.
fn tree(dir: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let (path, meta) = (entry.path(), entry.metadata().expect("a file"));
        let content = if meta.is_dir() { Vec::new() } else { fs::read(&path).expect("a file") };
        if meta.is_dir() {
            all.extend(tree(&path));
        }
        all.insert(path, (meta.mode(), meta.uid(), meta.gid(), content));
    }
    all
}

/// A root of a host with our binaries, and this as a manager's configuration.
struct Host {
    dir: TempDir,
}

impl Host {
    fn new(file: &str, text: Option<&str>) -> Self {
        let dir = tempfile::Builder::new().prefix("remora-host-").tempdir().expect("failed to make a folder");
        let host = Self { dir };
        for program in ["usr/local/bin/remora-hook", "usr/local/bin/remora-runtime", "bin/sh"] {
            fs::create_dir_all(host.path(program).parent().expect("a folder"))
                .expect("failed to make a folder");
            script(&host.path(program), "exit 0");
        }
        if let Some(text) = text {
            fs::create_dir_all(host.path(file).parent().expect("a folder")).expect("failed to make a folder");
            fs::write(host.path(file), text).expect("failed to write a file");
            fs::set_permissions(host.path(file), fs::Permissions::from_mode(0o640)).expect("failed to chmod");
            chown(host.path(file), Some(0), Some(7)).expect("failed to chown");
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let root = self.dir.path().to_str().expect("a path");
        [&["--root", root], more].concat()
    }

    fn tree(&self) -> BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)> {
        tree(self.dir.path())
    }
}

const DOCKER_JSON: &str =
    "{\n  \"runtimes\": {\n    \"kata\": { \"path\": \"/usr/bin/kata\" }\n  },\n  \"mtu\":1450\n}\n";
const DOCKER_LINE: &str =
    "{\"runtimes\":{\"kata\":{\"path\":\"/usr/bin/kata\"}},\"default-runtime\":\"runc\"}";

/// Runtime, options, its configuration and what may be in it.
#[allow(clippy::type_complexity)]
fn stock() -> Vec<(&'static str, Vec<&'static str>, &'static str, Option<String>)> {
    let containerd = "etc/containerd/config.toml";
    let sample = |name: &str| Some(fs::read_to_string(source("tests/configs").join(name)).expect("a sample"));
    let nri = vec!["--containerd", "/nonexistent"];
    let imports =
        sample("containerd-3-edited.toml").map(|text| format!("imports = ['conf.d/*.toml']\n{text}"));
    vec![
        ("podman", vec![], "", None),
        ("podman", vec!["--labels"], "", None),
        ("podman", vec!["--hooks-dir", "/etc/containers/oci/hooks.d"], "", None),
        ("crio", vec![], "etc/crio/crio.conf", Some("[crio]\n".to_owned())),
        ("nerdctl", vec![], "", None),
        ("docker", vec![], "etc/docker/daemon.json", None),
        ("docker", vec!["--default"], "etc/docker/daemon.json", Some(String::new())),
        ("docker", vec![], "etc/docker/daemon.json", Some("{}".to_owned())),
        ("docker", vec!["--default"], "etc/docker/daemon.json", Some(DOCKER_LINE.to_owned())),
        ("docker", vec!["--default"], "etc/docker/daemon.json", Some(DOCKER_JSON.to_owned())),
        ("containerd", vec![], containerd, None),
        ("containerd", vec!["--default"], containerd, sample("containerd-debian-12.toml")),
        ("containerd", vec![], containerd, sample("containerd-debian-12.toml")),
        ("containerd", vec![], containerd, sample("containerd-1.6-default.toml")),
        ("containerd", vec!["--default"], containerd, sample("containerd-3-edited.toml")),
        ("containerd", vec![], containerd, imports),
        ("containerd-nri", nri, containerd, sample("containerd-3-edited.toml")),
    ]
}

#[test]
fn each_configuration_comes_back_to_the_byte() {
    for (runtime, options, file, text) in stock() {
        let case = format!("{runtime} {options:?} {text:?}");
        let host = Host::new(file, text.as_deref());
        let before = host.tree();
        let shown = does("install", runtime, &host.args(&[&options[..], &["--dry-run"]].concat()));
        assert!(shown.contains("+++ "), "{case}: {shown}");
        assert_eq!(host.tree(), before, "{case}");
        // There is nobody to ask.
        let refused = remora("install", runtime, &host.args(&options));
        assert!(!refused.status.success() && said(&refused).contains("--yes"), "{case}: {}", said(&refused));
        assert_eq!(host.tree(), before, "{case}");

        let yes = [&options[..], &["--yes"]].concat();
        does("install", runtime, &host.args(&yes));
        let with = host.tree();
        assert_ne!(with, before, "{case}");
        if let Some(text) = text
            .filter(|_| fs::read(host.path(file)).ok() != before.get(&host.path(file)).map(|f| f.3.clone()))
        {
            let copy = format!("{file}.remora-backup");
            assert_eq!(fs::read_to_string(host.path(&copy)).ok(), Some(text), "{case}");
            assert_eq!(with[&host.path(file)].0, before[&host.path(file)].0, "{case}");
            assert_eq!(with[&host.path(file)].2, 7, "{case}");
        }
        let again = does("install", runtime, &host.args(&yes));
        assert!(again.starts_with("nothing to do"), "{case}: {again}");
        assert_eq!(host.tree(), with, "{case}");

        // Where the binaries have gone already, the way back is open all the same.
        fs::remove_file(host.path("usr/local/bin/remora-hook")).expect("failed to remove a file");
        does("uninstall", runtime, &host.args(&["--yes"]));
        script(&host.path("usr/local/bin/remora-hook"), "exit 0");
        assert_eq!(host.tree(), before, "{case}");
        let again = does("uninstall", runtime, &host.args(&["--yes"]));
        assert!(again.contains("nothing to do"), "{case}: {again}");
        assert_eq!(host.tree(), before, "{case}");
    }
}

#[test]
fn an_administrators_edits_stay() {
    let host = Host::new("etc/docker/daemon.json", Some(DOCKER_JSON));
    does("install", "docker", &host.args(&["--yes"]));
    let file = host.path("etc/docker/daemon.json");
    let edited = fs::read_to_string(&file).expect("a file").replace("1450", "9000");
    fs::write(&file, edited).expect("failed to write a file");
    does("uninstall", "docker", &host.args(&["--yes"]));
    assert_eq!(fs::read_to_string(&file).expect("a file"), DOCKER_JSON.replace("1450", "9000"));
    assert!(!host.path("etc/remora").exists() && !host.path("etc/docker/daemon.json.remora-backup").exists());

    let debian = fs::read_to_string(source("tests/configs/containerd-debian-12.toml")).expect("a sample");
    let host = Host::new("etc/containerd/config.toml", Some(&debian));
    does("install", "containerd", &host.args(&["--yes"]));
    let file = host.path("etc/containerd/config.toml");
    let mine = "\n[debug]\n  level = \"debug\" # mine\n";
    fs::write(&file, fs::read_to_string(&file).expect("a file") + mine).expect("failed to write a file");
    does("uninstall", "containerd", &host.args(&["--yes"]));
    assert_eq!(fs::read_to_string(&file).expect("a file"), debian + mine);
}

#[test]
fn podman_and_crio_share_a_file() {
    let host = Host::new("", None);
    let before = host.tree();
    does("install", "podman", &host.args(&["--yes"]));
    does("install", "crio", &host.args(&["--yes"]));
    let file = host.path("usr/share/containers/oci/hooks.d/remora.json");
    let told = does("uninstall", "podman", &host.args(&["--yes"]));
    assert!(told.contains("crio uses it") && file.exists(), "{told}");
    does("uninstall", "crio", &host.args(&["--yes"]));
    assert!(!file.exists());
    assert_eq!(host.tree(), before);
}

#[test]
fn what_is_not_understood_is_refused_whole() {
    for (runtime, file, text, place) in [
        ("docker", "etc/docker/daemon.json", "{\"runtimes\": []}", "\"runtimes\" is no object"),
        ("docker", "etc/docker/daemon.json", "{ // mine\n}", "line 1"),
        ("containerd", "etc/containerd/config.toml", "version = 2\nbroken", "line 2"),
        ("containerd", "etc/containerd/config.toml", "[plugins]\n", "version = 1"),
        ("podman", "usr/share/containers/oci/hooks.d/remora.json", "{}", "is not remora's"),
    ] {
        let host = Host::new(file, Some(text));
        let before = host.tree();
        let refused = remora("install", runtime, &host.args(&["--yes"]));
        let why = said(&refused);
        assert!(
            !refused.status.success() && why.contains(place) && why.contains(file),
            "{runtime} {text}: {why}"
        );
        assert_eq!(host.tree(), before, "{runtime} {text}");
    }
    let host = Host::new("", None);
    fs::remove_file(host.path("usr/local/bin/remora-runtime")).expect("failed to remove a file");
    let refused = said(&remora("install", "docker", &host.args(&["--yes"])));
    assert!(
        refused.contains("usr/local/bin/remora-runtime") && refused.contains("binaries first"),
        "{refused}"
    );
    chown(host.path("usr/local/bin/remora-hook"), Some(1234), None).expect("failed to chown");
    let refused = said(&remora("install", "podman", &host.args(&["--yes"])));
    assert!(refused.contains("belongs to user 1234"), "{refused}");
}
