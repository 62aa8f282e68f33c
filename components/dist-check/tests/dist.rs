//! What the built components declare, import and weigh.
//!
//! Looks at `dist`, or at the folder that `HARNESS_COMPONENTS_DIST` names.

// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use wasmparser::{Parser, Payload};

#[derive(Deserialize)]
struct Lock {
    component: Vec<Locked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Locked {
    name: String,
    kind: Kind,
    sources: String,
    wasm: String,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Tool,
    Mode,
}

/// A built component, as its bytes show it.
#[derive(Default)]
struct Built {
    imports: Vec<String>,
    exports: Vec<String>,
    /// The `harness:tools` sections of its core modules.
    declarations: Vec<Vec<u8>>,
    /// The `harness:manifest` sections of its core modules.
    manifests: Vec<Vec<u8>>,
    /// The `harness:mode` sections of its core modules.
    modes: Vec<Vec<u8>>,
    /// What the memories of its core modules begin with, in pages of 64 KiB.
    memory_pages: u64,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn lock() -> Vec<Locked> {
    let text = fs::read_to_string(folder().join("components.lock")).unwrap();
    toml::from_str::<Lock>(&text).unwrap().component
}

fn tools() -> impl Iterator<Item = Locked> {
    lock().into_iter().filter(|locked| locked.kind == Kind::Tool)
}

/// The folder with the components, unless it is the committed one.
fn elsewhere() -> Option<PathBuf> {
    std::env::var_os("HARNESS_COMPONENTS_DIST").map(PathBuf::from)
}

fn wasm(name: &str) -> Vec<u8> {
    let dist = elsewhere().unwrap_or_else(|| folder().join("dist"));
    fs::read(dist.join(format!("{name}.wasm"))).unwrap()
}

fn built(wasm: &[u8]) -> Built {
    let mut built = Built::default();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::CustomSection(section) if section.name() == "harness:tools" => {
                built.declarations.push(section.data().to_vec());
            }
            Payload::CustomSection(section) if section.name() == "harness:manifest" => {
                built.manifests.push(section.data().to_vec());
            }
            Payload::CustomSection(section) if section.name() == "harness:mode" => {
                built.modes.push(section.data().to_vec());
            }
            Payload::MemorySection(section) => {
                built.memory_pages += section.into_iter().map(|memory| memory.unwrap().initial).sum::<u64>();
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                built.imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                built.exports.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    built
}

#[test]
fn every_tool_is_valid_and_declares_itself_as_its_folder_does() {
    for Locked { name, .. } in tools() {
        let wasm = wasm(&name);
        wasmparser::Validator::new().validate_all(&wasm).unwrap();
        let declared = built(&wasm).declarations;
        assert_eq!(declared, [fs::read(folder().join(&name).join("tool.json")).unwrap()], "{name}");
        let tools: serde_json::Value = serde_json::from_slice(&declared[0]).unwrap();
        let [tool] = tools.as_array().unwrap().as_slice() else { panic!("{name} declares one tool") };
        assert_eq!(tool["name"], name.as_str());
        let category = match name.as_str() {
            "edit_file" | "write_file" => "edit",
            "shell" => "execute",
            "fetch" => "network",
            _ => "read",
        };
        assert_eq!(tool["category"], category, "{name}");
        assert_eq!(tool["parameters"]["type"], "object");
        assert_eq!(tool["parameters"]["additionalProperties"], false);
        assert!(tool["description"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

#[test]
fn every_tool_carries_the_manifest_of_its_folder() {
    for Locked { name, .. } in tools() {
        let manifests = built(&wasm(&name)).manifests;
        assert_eq!(manifests, [fs::read(folder().join(&name).join("manifest.json")).unwrap()], "{name}");
        let manifest: serde_json::Value = serde_json::from_slice(&manifests[0]).unwrap();
        let capabilities = manifest["capabilities"].as_array().unwrap();
        assert!(!capabilities.is_empty() && capabilities.iter().all(serde_json::Value::is_string), "{name}");
    }
}

#[test]
fn components_that_nest_nothing_have_little_memory_to_clear_after_a_call() {
    for Locked { name, .. } in lock() {
        let pages_max = match name.as_str() {
            // Patterns and scripts nest: they have the linker's usual stack.
            "glob" | "grep" | "shell" => 36,
            "fetch" => 8,
            _ => 3,
        };
        let pages = built(&wasm(&name)).memory_pages;
        assert!((1..=pages_max).contains(&pages), "{name}: {pages} pages");
    }
}

#[test]
fn tools_import_wasi_alone_and_export_the_tool() {
    for Locked { name, .. } in tools() {
        let built = built(&wasm(&name));
        println!("{name}: {}", built.imports.join(" "));
        for import in &built.imports {
            // The contract's own types are no power: the interface has no functions.
            let types = import == "harness:tool/types@0.1.0";
            assert!(types || (import.starts_with("wasi:") && import.contains("@0.2.")), "{name} imports {import}");
            assert!(!import.contains("sockets"), "{name} imports {import}");
            assert!(!import.contains("http") || name == "fetch", "{name} imports {import}");
        }
        assert_eq!(built.exports, ["harness:tool/tool@0.1.0"], "{name}");
    }
}

#[test]
fn modes_are_small_import_nothing_of_use_and_say_what_they_are() {
    let modes: Vec<_> = lock().into_iter().filter(|locked| locked.kind == Kind::Mode).collect();
    assert_eq!(modes.len(), 4);
    for Locked { name, bytes, .. } in modes {
        // What each of Rust's programs imports, files among it; a host grants a mode none of it.
        assert!(bytes < 150_000, "{name} has {bytes} bytes");
        let wasm = wasm(&name);
        wasmparser::Validator::new().validate_all(&wasm).unwrap();
        let built = built(&wasm);
        println!("{name}: {}", built.imports.join(" "));
        for import in &built.imports {
            let known = [
                "harness:mode/types@0.1.0",
                "wasi:cli/",
                "wasi:io/",
                "wasi:random/",
                "wasi:clocks/",
                "wasi:filesystem/",
            ];
            assert!(known.iter().any(|known| import.starts_with(known)), "{name} imports {import}");
        }
        let exports = ["harness:mode/describe@0.1.0", "harness:mode/judge@0.1.0"];
        assert_eq!(built.exports, exports, "{name}");
        assert!(built.declarations.is_empty() && built.manifests.is_empty(), "{name}");
        let [section] = built.modes.as_slice() else { panic!("{name} says once what it is") };
        let said: serde_json::Value = serde_json::from_slice(section).unwrap();
        assert_eq!(format!("mode-{}", said["mode"]["name"].as_str().unwrap()), name);
        assert!(said["mode"]["instructions"].as_str().unwrap().len() < 800, "{name}");
    }
}

#[test]
fn what_a_model_reads_of_all_tools_is_short() {
    let mut bytes = 0;
    for Locked { name, .. } in tools() {
        let text = fs::read(folder().join(&name).join("tool.json")).unwrap();
        let mut tools: serde_json::Value = serde_json::from_slice(&text).unwrap();
        tools[0].as_object_mut().unwrap().remove("category");
        bytes += tools.to_string().len();
    }
    println!("{bytes} bytes");
    // About 1,500 tokens: four bytes make one.
    assert!(bytes < 6_000, "{bytes} bytes");
}

#[test]
fn no_path_of_the_machine_that_built_them_is_inside() {
    let machine = [folder().parent().unwrap().to_owned(), std::env::home_dir().unwrap().join(".cargo")];
    for Locked { name, .. } in lock() {
        let wasm = wasm(&name);
        for path in &machine {
            let path = path.to_str().unwrap().as_bytes();
            assert!(!wasm.windows(path.len()).any(|bytes| bytes == path), "{name}");
        }
    }
}

#[test]
fn dist_is_what_the_lock_says() {
    if elsewhere().is_some() {
        return;
    }
    for locked in lock() {
        let wasm = wasm(&locked.name);
        let digest: String = Sha256::digest(&wasm).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((format!("sha256:{digest}"), wasm.len()), (locked.wasm, locked.bytes), "{}", locked.name);
        assert!(locked.sources.starts_with("sha256:"));
    }
}
