//! Reading components that are damaged on purpose: real ones and hostile ones, cut, flipped and spliced.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_wasm::{Component, ComponentSource, DESCRIPTION_BYTES_MAX, OwnWords, TOOL_NAME_CHARS_MAX, TOOLS_SECTION};
use proptest::prelude::*;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Mutants of a run.
const CASES: u32 = 512;
/// Changes of one mutant.
const CHANGES_MAX: usize = 8;
/// A reason in words, in bytes: it goes to a person and into the log.
const REASON_BYTES_MAX: usize = 16 << 10;

/// Real components and the hostile corpus, as they are.
fn seeds() -> &'static [Vec<u8>] {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../components/dist");
        let mut real: Vec<_> = std::fs::read_dir(dist)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
            .collect();
        real.sort();
        let real = real.iter().map(|path| std::fs::read(path).unwrap());
        let cases = support::case::all();
        // The guest of many cases would be most of all.
        let texts = cases.iter().filter(|found| found.case.guest.is_none());
        real.chain(texts.map(support::case::Found::bytes)).collect()
    })
}

/// Reads, and holds whatever comes out against what is promised.
fn read(bytes: Vec<u8>) -> Option<Arc<Component>> {
    let source = ComponentSource { name: "mutant".to_owned(), bytes: bytes.into() };
    match source.with_words(OwnWords::default()) {
        Ok(same) => assert_eq!(same.bytes, source.bytes),
        Err(error) => assert!(error.to_string().contains("`mutant`")),
    }
    // One that is called by its functions asks for what it is told; one of a contract may have its manifest already.
    let _ = source.with_words(OwnWords { manifest: Some(br#"{"capabilities": []}"#), tools: None });
    match Component::read(source) {
        Ok(component) => {
            for tool in component.tools() {
                assert!((1..=TOOL_NAME_CHARS_MAX).contains(&tool.name.chars().count()));
                assert!(tool.description.len() <= DESCRIPTION_BYTES_MAX);
                assert!(!tool.description.contains(['\u{1b}', '\u{202e}', '\0']));
                assert!(tool.parameters.is_object());
            }
            Some(component)
        }
        Err(error) => {
            let words = error.to_string();
            assert!(words.contains("`mutant`") && words.len() <= REASON_BYTES_MAX, "{words}");
            None
        }
    }
}

#[test]
fn a_component_cut_anywhere_is_refused_or_whole() {
    let whole = support::assemble(&std::fs::read_to_string(support::corpus().join("neighbour.wat")).unwrap());
    assert!(read(whole.clone()).is_some());
    // Until the section of tools is whole there are none; behind it only what people read of names is missing.
    let accepted: Vec<_> = (0..whole.len()).filter(|length| read(whole[..*length].to_vec()).is_some()).collect();
    assert!(accepted.iter().all(|length| *length > whole.len() / 2), "{accepted:?} of {}", whole.len());
}

#[test]
fn a_component_with_any_bit_flipped_breaks_nothing() {
    let whole = support::assemble(&std::fs::read_to_string(support::corpus().join("neighbour.wat")).unwrap());
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut mutant = whole.clone();
            mutant[at] ^= 1 << bit;
            read(mutant);
        }
    }
}

/// One change of a mutant. Places are fractions, so that they fit every seed.
#[derive(Debug, Clone)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Length(prop::sample::Index, u32),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        1 => place().prop_map(Change::Cut),
        1 => (place(), 1_usize..64).prop_map(|(at, length)| Change::Repeat(at, length)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..32)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        // A length as WebAssembly writes it, far too large or just so.
        2 => (place(), any::<u32>()).prop_map(|(at, length)| Change::Length(at, length)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    match change {
        Change::Flip(at, bits) => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Change::Repeat(at, length) => {
            let at = at.index(bytes.len());
            let part = bytes[at..bytes.len().min(at + length)].to_vec();
            bytes.splice(at..at, part);
        }
        Change::Insert(at, more) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, more.iter().copied());
        }
        Change::Length(at, length) => {
            let at = at.index(bytes.len());
            let mut number = *length;
            for byte in bytes.iter_mut().skip(at).take(5) {
                *byte = (number & 0x7f) as u8 | 0x80;
                number >>= 7;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutants_of_real_and_hostile_components_are_read_or_refused(
        seed in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..CHANGES_MAX),
    ) {
        let mut bytes = seed.get(seeds()).clone();
        for change in &changes {
            mutate(&mut bytes, change);
        }
        read(bytes);
    }

    #[test]
    fn a_section_of_tools_with_any_text_is_read_or_refused(
        text in prop_oneof![
            "\\PC{0,200}",
            r#"\[\{"name":"[a-z\\u0-9]{0,70}","description":"(\PC|\\u[0-9a-f]{4}){0,40}","category":"(read|edit|other|x)","parameters":(\{\}|\[\]|1|\{"type":"\PC{0,9}"\})\}\]"#,
        ],
    ) {
        let whole = support::assemble(&std::fs::read_to_string(support::corpus().join("neighbour.wat")).unwrap());
        let mut bytes = without_tools(&whole);
        let name = TOOLS_SECTION.as_bytes();
        let mut section = vec![name.len() as u8];
        section.extend(name);
        section.extend(text.as_bytes());
        bytes.push(0);
        bytes.extend([(section.len() & 0x7f) as u8 | 0x80, (section.len() >> 7) as u8]);
        bytes.extend(section);
        read(bytes);
    }
}

/// The component without its section of tools: with another one behind it, it would have two.
fn without_tools(whole: &[u8]) -> Vec<u8> {
    let name = TOOLS_SECTION.as_bytes();
    let at = whole.windows(name.len()).position(|window| window == name).unwrap();
    let mut bytes = whole.to_vec();
    // Under another name of the same length.
    bytes[at..at + name.len()].copy_from_slice(&b"x".repeat(name.len()));
    bytes
}
