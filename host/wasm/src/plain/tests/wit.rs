//! WIT files, as an author writes them: what is read from a component made of one.
//!
//! `corpus/NAME.wit` holds one world; `corpus/NAME.txt` what its functions become. `BLESS=1` rewrites these.

use crate::plain::{Origin, live, read};
use crate::tools::Manifest;
use harness_core::Digest;
use harness_core::item::Effects;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Config, Engine};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plain/tests/corpus")
}

/// A component of the only world of a WIT file; its functions trap.
fn component(path: &Path) -> Vec<u8> {
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let package = resolve.push_file(path).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

fn described(bytes: &[u8]) -> String {
    let anatomy = crate::tools::exports(bytes);
    let exports = || anatomy.iter().map(String::as_str);
    let origin = Origin { component: "corpus", digest: Digest::of(b""), effects: Effects::Staged };
    let plain = read(bytes, exports(), &Manifest::default(), std::iter::empty(), &origin).unwrap();
    let mut text = String::new();
    for (function, spec) in plain.functions.iter().zip(&plain.specs) {
        writeln!(text, "{}: {}\n  {}", spec.name, function.signature, spec.parameters).unwrap();
    }
    for it in &plain.not_offered {
        writeln!(text, "not {}: {}", it.export, it.reason).unwrap();
    }
    for proposal in &plain.proposals {
        writeln!(text, "needs {proposal}").unwrap();
    }
    text
}

/// Compares with what the engine says of the same component, where it can compile it.
fn agree(engine: &Engine, bytes: &[u8]) -> usize {
    let Ok(compiled) = Component::new(engine, bytes) else { return 0 };
    let exports = crate::tools::exports(bytes);
    let exported = read::exported(bytes, exports.iter().map(String::as_str)).unwrap();
    for function in &exported {
        let interface = function.interface.as_ref().map(|name| compiled.get_export_index(None, name.as_str()).unwrap());
        let found = compiled.get_export(interface.as_ref(), function.function.as_str());
        let Some((ComponentItem::ComponentFunc(ty), _)) = found else { panic!("{}", function.function) };
        match &function.signature {
            Ok(signature) => assert_eq!(live::signature(&ty).as_ref(), Ok(signature), "{}", function.function),
            Err(reason) if !function.function.starts_with('[') => {
                assert_eq!(live::signature(&ty).as_ref(), Err(reason), "{}", function.function);
            }
            Err(_) => {}
        }
    }
    exported.len()
}

#[test]
fn the_corpus_is_read_as_written_down_and_as_the_engine_sees_it() {
    let mut config = Config::new();
    config.wasm_component_model_map(true).wasm_component_model_fixed_length_lists(true);
    let engine = Engine::new(&config).unwrap();
    let mut compared = 0;
    let mut files: Vec<_> = std::fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    for path in files {
        let bytes = component(&path);
        let found = described(&bytes);
        let kept = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&kept, &found).unwrap();
        }
        assert_eq!(found, std::fs::read_to_string(&kept).unwrap_or_default(), "{}", path.display());
        compared += agree(&engine, &bytes);
    }
    assert!(compared >= 20, "{compared} functions compared");
}
