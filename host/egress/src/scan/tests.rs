//! Every form, every cut, and secrets, texts and cuts at random.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::{Patterns, Scan};
use crate::encodings;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;

fn patterns(secrets: &[(&str, &[u8])]) -> Arc<Patterns> {
    Arc::new(Patterns::new(secrets.iter().copied()).unwrap().unwrap())
}

/// A text through a stream, cut at these places.
fn streamed(patterns: &Arc<Patterns>, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (mut scan, mut out, mut at) = (Scan::new(patterns.clone()), Vec::new(), 0);
    for cut in cuts.iter().copied().chain([text.len()]) {
        let cut = cut.clamp(at, text.len());
        out.extend_from_slice(&scan.push(Bytes::copy_from_slice(&text[at..cut])));
        at = cut;
    }
    out.extend_from_slice(&scan.finish());
    out
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

const SECRET: &[u8] = br#"s3cr3t/"+<ab>&\%~ z"#;

#[test]
fn every_form_is_found_wherever_it_is_cut() {
    let patterns = patterns(&[("forge", SECRET)]);
    for form in encodings::all(SECRET) {
        let text = [b"before ".as_slice(), &form, b" after"].concat();
        let whole = streamed(&patterns, &text, &[]);
        let shown = String::from_utf8_lossy(&text);
        assert!(contains(&whole, b"[secret forge]") && !contains(&whole, &form), "{shown}");
        assert!(whole.starts_with(b"before [secret") && whole.ends_with(b" after"), "{shown}");
        for cut in 0..=text.len() {
            assert_eq!(streamed(&patterns, &text, &[cut]), whole, "{shown} cut at {cut}");
        }
        assert_eq!(streamed(&patterns, &text, &(0..text.len()).collect::<Vec<_>>()), whole, "{shown} in bytes");
    }
}

#[test]
fn the_forms_are_those_that_others_write() {
    use base64::Engine as _;
    let forms = encodings::all(SECRET);
    for form in [
        r#"7333637233742f222b3c61623e265c257e207a"#,
        r#"7333637233742F222B3C61623E265C257E207A"#,
        r#"s3cr3t%2F%22%2B%3Cab%3E%26%5C%25~%20z"#,
        r#"s3cr3t%2f%22%2b%3cab%3e%26%5c%25~%20z"#,
        r#"s3cr3t%2F%22%2B%3Cab%3E%26%5C%25%7E+z"#,
        r#"s3cr3t/\"+<ab>&\\%~ z"#,
        r#"s3cr3t\/\"+<ab>&\\%~ z"#,
        r#"s3cr3t/\"+\u003cab\u003e\u0026\\%~ z"#,
        r#"s3cr3t/&quot;+&lt;ab&gt;&amp;\%~ z"#,
    ] {
        assert!(forms.contains(&form.as_bytes().to_vec()), "{form}");
    }
    let secrets = patterns(&[("forge", SECRET)]);
    for before in 0..7 {
        for after in 0..7 {
            let text = ["u".repeat(before).as_bytes(), SECRET, "v".repeat(after).as_bytes()].concat();
            for engine in [&base64::engine::general_purpose::STANDARD, &base64::engine::general_purpose::URL_SAFE] {
                assert!(secrets.find(engine.encode(&text).as_bytes()).is_some(), "{before} {after}");
            }
        }
    }
}

#[test]
fn a_stream_holds_back_only_what_may_become_a_secret() {
    let patterns = patterns(&[("a", b"abcdefgh"), ("b", b"abcdefghijkl"), ("c", b"efgh!!!?")]);
    let mut scan = Scan::new(patterns);
    for (piece, out) in [
        ("nothing of it", "nothing of it"),
        ("event: x\n\n", "event: x\n\n"),
        ("abc", ""),
        ("x", "abcx"),
        ("abcdefgh", ""),
        ("ij", ""),
        ("!", "[secret a]ij!"),
        ("abcdefghijkl", "[secret b]"),
        ("zabcdefg", "z"),
        ("h!!!?", "[secret a]!!!?"),
        ("efgh!!!", ""),
        ("?.", "[secret c]."),
        ("ab", ""),
    ] {
        assert_eq!(scan.push(Bytes::from_static(piece.as_bytes())), out, "{piece}");
    }
    assert_eq!(scan.finish(), "ab");
}

#[test]
fn short_values_are_not_searched_for() {
    assert!(Patterns::new([("a", b"1234567".as_slice())].into_iter()).unwrap().is_none());
    assert!(Patterns::new([("a", b"12345678".as_slice())].into_iter()).unwrap().is_some());
}

#[test]
fn the_corpus_of_bodies_comes_out_without_the_secret() {
    let patterns = patterns(&[("forge", b"hunter2-hunter2")]);
    let corpus = include_bytes!("../../tests/corpus/bodies.txt");
    let lines: Vec<&[u8]> = corpus.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert!(lines.len() > 10);
    for line in lines {
        let (wanted, text) = line.split_at(2);
        let whole = streamed(&patterns, text, &[]);
        assert_eq!(contains(&whole, b"[secret forge]"), wanted == b"+ ", "{}", String::from_utf8_lossy(text));
        assert!(!contains(&whole, b"hunter2-hunter2"));
        for cut in 0..text.len() {
            assert_eq!(streamed(&patterns, text, &[cut]), whole);
        }
    }
}

proptest! {
    #[test]
    fn no_cut_lets_a_secret_through(
        secrets in proptest::collection::vec(proptest::collection::vec(proptest::sample::select(b"abA/%+\"\x00\xff ".to_vec()), 8..14), 1..4),
        parts in proptest::collection::vec((any::<u16>(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..5)), 0..8),
        cuts in proptest::collection::vec(0_usize..400, 0..12),
    ) {
        let named: Vec<(&str, &[u8])> = secrets.iter().map(|secret| ("n", secret.as_slice())).collect();
        let patterns = patterns(&named);
        // Whole forms, beginnings of forms and noise.
        let mut text = Vec::new();
        for (which, length, noise) in &parts {
            let forms = encodings::all(&secrets[usize::from(*which) % secrets.len()]);
            let form = &forms[usize::from(*which >> 4) % forms.len()];
            let end = if length % 2 == 0 { form.len() } else { usize::from(*length) % (form.len() + 1) };
            text.extend_from_slice(&form[..end]);
            text.extend_from_slice(noise);
        }
        let mut cuts = cuts;
        cuts.sort_unstable();
        let whole = streamed(&patterns, &text, &[]);
        prop_assert_eq!(&streamed(&patterns, &text, &cuts), &whole);
        prop_assert_eq!(patterns.replace(&text).unwrap_or(text), whole.clone());
        for secret in &secrets {
            prop_assert!(!contains(&whole, secret));
        }
    }

    #[test]
    fn any_value_is_found_in_all_its_forms(value in proptest::collection::vec(any::<u8>(), 8..40)) {
        let patterns = patterns(&[("n", &value)]);
        for form in encodings::all(&value) {
            prop_assert!(patterns.find(&form).is_some());
        }
    }
}
