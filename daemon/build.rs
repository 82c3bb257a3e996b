//! Builds `bpf/*.bpf.c` and the page of `web/` by the Makefile's own rules and embeds what was found, packed, so that a new
//! tracer is one new file and nothing else. The API's description is embedded likewise, as JSON.

use std::{env, fs, path::Path, path::PathBuf, process::Command};

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("..");
    let out = PathBuf::from(env::var("OUT_DIR").expect("set by cargo"));
    println!("cargo:rerun-if-changed={}", root.join("Makefile").display());
    embed_tracers(&root, &out);
    embed_page(&root, &out);
}

fn embed_tracers(root: &Path, out: &Path) {
    let objects = out.join("bpf");
    println!("cargo:rerun-if-changed={}", root.join("bpf").display());
    make(root, "bpf", &format!("BPF_OUT={}", objects.display()));
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
    describe(&out.join("openapi.deflate"));
}

/// People write YAML, programs read JSON.
fn describe(packed: &Path) {
    println!("cargo:rerun-if-changed=openapi.yaml");
    let text = fs::read_to_string("openapi.yaml").expect("failed to read openapi.yaml");
    let document: serde_json::Value = serde_saphyr::from_str(&text).expect("openapi.yaml is no YAML");
    let json = serde_json::to_vec(&document).expect("failed to write JSON");
    fs::write(packed, miniz_oxide::deflate::compress_to_vec(&json, 10))
        .expect("failed to pack the description");
}

/// The files of the page, each as gzip has it.
fn embed_page(root: &Path, out: &Path) {
    // Not all of web/, for what npm puts there changes with each installation.
    for part in ["src", "build.js", "icon.svg", "index.html", "package-lock.json", "style.css"] {
        println!("cargo:rerun-if-changed={}", root.join("web").join(part).display());
    }
    let page = out.join("web");
    make(root, "web", &format!("WEB_OUT={}", page.display()));
    let mut list = String::from("pub const PAGE: &[(&str, &[u8])] = &[\n");
    for name in stems(&page, ".gz") {
        let file = page.join(format!("{name}.gz")).display().to_string();
        list += &format!("    ({name:?}, include_bytes!({file:?})),\n");
    }
    fs::write(out.join("page.rs"), list + "];\n").expect("failed to write page.rs");
}

fn make(root: &Path, target: &str, out: &str) {
    let status = Command::new("make")
        .args(["--no-print-directory", "-s", "-C"])
        .arg(root)
        .args([target, out])
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .status()
        .expect("failed to run make: install what `tests/deps --check build` names");
    assert!(status.success(), "failed to make {target}; see make's message above");
}

fn stems(dir: &Path, suffix: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("failed to read a folder")
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(suffix).map(str::to_owned))
        .collect();
    names.sort();
    names
}
