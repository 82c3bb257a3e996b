//! The shipped rules, each file of the folder by its name, and what tracers say of their events become part of the crate,
//! packed.

use std::path::Path;
use std::{env, fs};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate lies");
    let folder = Path::new(&root).join("../rules");
    println!("cargo:rerun-if-changed={}", folder.display());
    println!("cargo:rerun-if-changed=tracers.json");
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|e| panic!("failed to read {}: {e}", folder.display()));
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("failed to read an entry of rules").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    let named = files.iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (format!("shipped/{name}"), String::from_utf8(read(path)).expect("rules are UTF-8"))
    });
    let named: Vec<(String, String)> = named.collect();
    pack("rules.deflate", &serde_json::to_vec(&named).expect("texts are JSON"));
    pack("tracers.deflate", &read(Path::new("tracers.json")));
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("failed to read {}: {e}", path.display()))
}

fn pack(name: &str, content: &[u8]) {
    let out = Path::new(&env::var("OUT_DIR").expect("cargo says where to write")).join(name);
    fs::write(&out, miniz_oxide::deflate::compress_to_vec(content, 10))
        .unwrap_or_else(|e| panic!("failed to write {}: {e}", out.display()));
}
