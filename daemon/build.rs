//! Builds `bpf/*.bpf.c` by the Makefile's own rule and embeds every object found, packed, so that a new tracer is one
//! new file and nothing else.

use std::{env, fs, path::Path, path::PathBuf, process::Command};

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("..");
    let out = PathBuf::from(env::var("OUT_DIR").expect("set by cargo"));
    let objects = out.join("bpf");
    println!("cargo:rerun-if-changed={}", root.join("bpf").display());
    println!("cargo:rerun-if-changed={}", root.join("Makefile").display());
    make(&root, &objects);
    let wanted = stems(&root.join("bpf"), ".bpf.c");
    let mut list = String::from("pub const EMBEDDED: &[(&str, &[u8])] = &[\n");
    for name in wanted {
        let object = fs::read(objects.join(format!("{name}.bpf.o"))).expect("failed to read an object");
        let packed = objects.join(format!("{name}.deflate"));
        fs::write(&packed, miniz_oxide::deflate::compress_to_vec(&object, 10))
            .expect("failed to pack an object");
        list += &format!("    ({name:?}, include_bytes!({:?})),\n", packed.display().to_string());
    }
    list += "];\n";
    fs::write(out.join("embedded.rs"), list).expect("failed to write embedded.rs");
}

fn make(root: &Path, objects: &Path) {
    let status = Command::new("make")
        .args(["--no-print-directory", "-s", "-C"])
        .arg(root)
        .arg("bpf")
        .arg(format!("BPF_OUT={}", objects.display()))
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .status()
        .expect("failed to run make: install make, clang, llvm and libbpf-dev");
    assert!(status.success(), "failed to build the BPF objects; see make's message above");
}

fn stems(dir: &Path, suffix: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("failed to read bpf/")
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(suffix).map(str::to_owned))
        .collect();
    names.sort();
    names
}
