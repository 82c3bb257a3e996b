//! The shipped rules become part of the crate: each file of the folder, by name.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate lies");
    let folder = Path::new(&root).join("../rules");
    println!("cargo:rerun-if-changed={}", folder.display());
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|e| panic!("failed to read {}: {e}", folder.display()));
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("failed to read an entry of rules").path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    let mut list = String::from("&[\n");
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("shipped/{name}");
        writeln!(list, "    ({name:?}, include_str!({:?})),", path.display().to_string())
            .expect("a string takes all");
    }
    list.push(']');
    let out = Path::new(&env::var("OUT_DIR").expect("cargo says where to write")).join("shipped.rs");
    fs::write(&out, list).unwrap_or_else(|e| panic!("failed to write {}: {e}", out.display()));
}
