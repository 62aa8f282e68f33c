//! Reading and inspecting components: `tests/components-read/*.wat`, each with what is said of it in a `.txt`
//! beside it (`BLESS=1` writes these anew), and hostile ones made here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_wasm::{CallLimits, Component, ComponentSource, inspect, inspect_source};
use proptest::collection::vec;
use proptest::prelude::*;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use support::assemble;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/components-read")
}

fn source(name: &str, bytes: Vec<u8>) -> ComponentSource {
    ComponentSource { name: name.to_owned(), bytes: Cow::Owned(bytes) }
}

/// Both what reading gives and what a person is told.
fn told(name: &str, bytes: Vec<u8>) -> String {
    let mut text = String::new();
    let read = Component::read(source(name, bytes.clone()));
    match &read {
        Ok(component) => writeln!(text, "read: {} tools", component.tools().len()).unwrap(),
        Err(error) => writeln!(text, "refused: {error}").unwrap(),
    }
    if let Ok(inspection) = inspect_source(&source(name, bytes), None) {
        write!(text, "\n{inspection}").unwrap();
        if let Ok(component) = &read {
            assert_eq!(inspect(component).to_string(), inspection.to_string());
        }
        serde_json::to_string(&inspection).unwrap();
    }
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    text
}

#[test]
fn what_is_said_of_a_component_is_what_is_written_down() {
    let mut files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wat"));
    files.sort();
    assert!(files.len() >= 20, "{}", files.len());
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let found = told(name, assemble(&std::fs::read_to_string(&path).unwrap()));
        let kept = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&kept, &found).unwrap();
        }
        assert_eq!(found, std::fs::read_to_string(&kept).unwrap_or_default(), "{}", path.display());
    }
}

fn refused(bytes: Vec<u8>) -> String {
    Component::read(source("hostile", bytes)).unwrap_err().to_string()
}

/// A component with one function, of a type built from `types`, which define `$t`.
fn with_type(types: &str) -> Vec<u8> {
    let text = format!(
        "(component {types}
           (core module $m (memory (export \"m\") 1)
             (func (export \"r\") (param i32 i32 i32 i32) (result i32) unreachable)
             (func (export \"f\") (param i32 i32)))
           (core instance $i (instantiate $m))
           (func $f (param \"v\" (list $t))
             (canon lift (core func $i \"f\") (memory (core memory $i \"m\")) (realloc (core func $i \"r\"))))
           (export \"f\" (func $f)))"
    );
    wat::parse_str(&text).unwrap()
}

#[test]
fn types_that_grow_without_end_are_not_offered() {
    let levels = |depth: usize, form: &dyn Fn(usize) -> String| {
        let mut text = "(type $t0 (list string))".to_owned();
        for level in 1..=depth {
            write!(text, "(type $t{level} {})", form(level - 1)).unwrap();
        }
        text.replace(&format!("$t{depth} "), "$t ")
    };
    let deep = refused(with_type(&levels(40, &|below| format!("(list $t{below})"))));
    assert!(deep.contains("`f`: its types are more than 32 levels deep"), "{deep}");
    // Twelve levels that each use the one below twice: 4,096 at the bottom.
    let wide = refused(with_type(&levels(12, &|below| format!("(tuple $t{below} $t{below})"))));
    assert!(wide.contains("`f`: its signature is made of more than 4096 types"), "{wide}");
    let huge = levels(40, &|below| format!("(tuple $t{below} $t{below} $t{below})"));
    assert!(refused(with_type(&huge)).contains("`hostile`"));
    let names: String = (0..5_000).map(|number| format!("\"n{number}\" ")).collect();
    let names = refused(with_type(&format!("(type $e (enum {names}))(export $t \"t\" (type $e))")));
    assert!(names.contains("more than 4096 types"), "{names}");
}

#[test]
fn schemas_and_tools_have_a_most() {
    let long = "n".repeat(2_000);
    let fields: String = (0..40).map(|number| format!("(field \"{long}{number}\" u8)")).collect();
    let schema = refused(with_type(&format!("(type $r (record {fields}))(export $t \"t\" (type $r))")));
    assert!(schema.contains("its schema has") && schema.contains("more than 65536"), "{schema}");
    let many = |count: usize| {
        let mut text = "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\")))"
            .to_owned();
        for number in 0..count {
            write!(text, "(export \"f{number}\" (func $f))").unwrap();
        }
        wat::parse_str(text + ")").unwrap()
    };
    let component = Component::read(source("many", many(70))).unwrap();
    assert_eq!(component.tools().len(), 64);
    let inspection = inspect(&component);
    assert_eq!(inspection.not_offered.len(), 6);
    assert!(inspection.not_offered.iter().all(|it| it.reason == "one component has at most 64 tools"));
    assert!(refused(many(10_000)).contains("10000 exports, more than 1000"));
}

#[test]
fn sections_have_a_most() {
    let with = |sections: &str| {
        let text = format!(
            "(component {sections} (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
               (func $f (canon lift (core func $i \"f\"))) (export \"f\" (func $f)))"
        );
        wat::parse_str(&text).unwrap()
    };
    let bomb = |name: &str, bytes: usize| format!("(@custom \"{name}\" \"{}\")", "x".repeat(bytes));
    assert!(refused(with(&bomb("harness:manifest", 65_537))).contains("65537 bytes, more than 65536"));
    assert!(refused(with(&bomb("harness:manifest", 1).repeat(2))).contains("2 such sections"));
    // Documentation that cannot be read is as good as none.
    let docs = Component::read(source("docs", with(&bomb("package-docs", 2 << 20)))).unwrap();
    assert!(docs.tools()[0].description.starts_with("Calls `f`"));
    let long =
        format!("\\01{{\\\"worlds\\\":{{\\\"w\\\":{{\\\"funcs\\\":{{\\\"f\\\":\\\"{}\\\"}}}}}}}}", "é".repeat(50_000));
    let docs = Component::read(source("docs", with(&format!("(@custom \"package-docs\" \"{long}\")")))).unwrap();
    assert_eq!(docs.tools()[0].description.len(), harness_wasm::DESCRIPTION_BYTES_MAX);
    let many = inspect(&Component::read(source("many", with(&bomb("a\\1b[31m", 1).repeat(10_000)))).unwrap());
    assert!(many.sections.len() <= 64 && many.sections.iter().all(|(name, _)| name == "a"), "{:?}", many.sections[0]);
}

#[test]
fn what_a_component_was_asked_for_is_checked_like_its_section() {
    let bytes = assemble(&std::fs::read_to_string(folder().join("tool-describe.wat")).unwrap());
    let read = |json: &str| Component::read_described(source("told", bytes.clone()), CallLimits::DEFAULT, json);
    let tool = |name: &str, words: &str| {
        format!("[{{\"name\":\"{name}\",\"description\":\"{words}\",\"category\":\"read\",\"parameters\":{{}}}}]")
    };
    let told = read(&tool("told", "a\\u202eb")).unwrap();
    assert!(!told.needs_describing());
    assert_eq!(told.tools()[0].description, "ab");
    for (json, problem) in [
        (tool("two words", ""), "`two words` is not a name"),
        (tool("told", &"x".repeat(5_000)), "more than 4096"),
        ("[]".to_owned(), "it lists 0 tools"),
        (" ".repeat(300_000), "300000 bytes, more than 262144"),
    ] {
        let error = read(&json).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn damaged_components_are_read_or_refused(file in any::<prop::sample::Index>(), damage in vec(any::<(prop::sample::Index, u8)>(), 1..8), cut in any::<bool>()) {
        let mut bytes = file.get(whole()).clone();
        for (at, byte) in &damage {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if cut {
            bytes.truncate(damage[0].0.index(bytes.len()));
        }
        told("damaged", bytes);
    }
}

/// All components of the folder.
fn whole() -> &'static [Vec<u8>] {
    static WHOLE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "wat"));
        texts.map(|path| assemble(&std::fs::read_to_string(path).unwrap())).collect()
    })
}
