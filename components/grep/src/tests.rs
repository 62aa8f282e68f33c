//! What `grep` finds, and what it says when it finds nothing or too much.

use super::*;

fn tree(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let full = folder.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, content).unwrap();
    }
    let workspace = Workspace::at(folder.path());
    (folder, workspace)
}

fn small() -> (tempfile::TempDir, Workspace) {
    tree(&[
        ("a.rs", b"fn one() {}\nfn two() {}\n// end\n"),
        ("src/b.rs", b"one\ntwo\nthree\nfour\nfive\nsix\nseven\ntwo again\n"),
        ("src/c.txt", b"ONE\r\ntwo\r\n"),
        ("target/x.rs", b"one\n"),
        ("bin", b"one\n\0"),
        (".env", b"one\n"),
        (".gitignore", b"target\n"),
        ("src/.gitignore", b"skipped.*\n"),
        ("src/skipped.rs", b"one\n"),
    ])
}

fn pattern(pattern: &str) -> Arguments {
    Arguments { pattern: pattern.into(), ..Arguments::default() }
}

#[test]
fn finds_lines() {
    let (_folder, workspace) = small();
    for (arguments, expected) in [
        (pattern("one"), "a.rs:1:fn one() {}\nsrc/b.rs:1:one\n"),
        (
            Arguments { case_insensitive: Some(true), path: Some("src".into()), ..pattern("one") },
            "src/b.rs:1:one\nsrc/c.txt:1:ONE\n",
        ),
        (Arguments { glob: Some("*.txt".into()), ..pattern("o$") }, "src/c.txt:2:two\n"),
        (Arguments { path: Some("target".into()), ..pattern("^one$") }, "target/x.rs:1:one\n"),
        (Arguments { path: Some("target/x.rs".into()), ..pattern("o") }, "target/x.rs:1:one\n"),
        (Arguments { glob: Some(".env".into()), ..pattern("one") }, ".env:1:one\n"),
        (Arguments { files_only: Some(true), ..pattern("two") }, "a.rs\nsrc/b.rs\nsrc/c.txt\n"),
        (
            Arguments { context: Some(1), path: Some("src/b.rs".into()), ..pattern("two|four") },
            "src/b.rs-1-one\nsrc/b.rs:2:two\nsrc/b.rs-3-three\nsrc/b.rs:4:four\nsrc/b.rs-5-five\n--\nsrc/b.rs-7-seven\nsrc/b.rs:8:two again\n",
        ),
        (
            Arguments { context: Some(1), glob: Some("*.rs".into()), ..pattern("two\\(|three") },
            "a.rs-1-fn one() {}\na.rs:2:fn two() {}\na.rs-3-// end\n--\nsrc/b.rs-2-two\nsrc/b.rs:3:three\nsrc/b.rs-4-four\n",
        ),
        (Arguments { path: Some("/workspace/src".into()), ..pattern(r"\bagain\b") }, "src/b.rs:8:two again\n"),
    ] {
        let shown = format!("{arguments:?}");
        assert_eq!(run(&workspace, arguments).unwrap(), expected, "{shown}");
    }
}

#[test]
fn finding_nothing_says_what_was_searched() {
    let (_folder, workspace) = small();
    for (arguments, expected) in [
        (pattern("nothing like it"), "[no match in .; searched 3 files, skipped 1 binary file]"),
        (
            Arguments { path: Some("bin".into()), ..pattern("one") },
            "[no match in bin; searched 0 files, skipped 1 binary file]",
        ),
        (
            Arguments { glob: Some("*.py".into()), ..pattern("one") },
            "[no match in .; searched 0 files; none of 4 files matches the glob *.py]",
        ),
    ] {
        assert_eq!(run(&workspace, arguments).unwrap(), expected);
    }
}

#[test]
fn limits_are_told() {
    let many = "needle\n".repeat(300);
    let (_folder, workspace) = tree(&[("a", many.as_bytes()), ("b", b"needle\n")]);
    let text = run(&workspace, pattern("needle")).unwrap();
    assert_eq!(text.lines().count(), 201);
    assert!(text.contains("a:200:needle\n[stopped at 200 matches, there are more;"), "{text}");
    let text = run(&workspace, Arguments { max_matches: Some(301), ..pattern("needle") }).unwrap();
    assert!(text.ends_with("b:1:needle\n"), "{text}");
    let text =
        run(&workspace, Arguments { max_matches: Some(1), files_only: Some(true), ..pattern("needle") }).unwrap();
    assert!(text.starts_with("a\n[stopped at 1 matches, there are more"), "{text}");

    let long = format!("needle {}\n", "x".repeat(400)).repeat(200);
    let (_folder, workspace) = tree(&[("a", long.as_bytes())]);
    let text = run(&workspace, pattern("needle")).unwrap();
    assert!(text.len() < text::OUTPUT_BYTES + 200);
    assert!(text.contains("[stopped at 50 KiB"), "{}", &text[50_000..]);
}

#[test]
fn long_lines_are_cut_around_the_match() {
    let line = format!("{}needle{}\n", "ä".repeat(2_000), "b".repeat(2_000));
    let (_folder, workspace) = tree(&[("a", line.as_bytes())]);
    let text = run(&workspace, pattern("needle")).unwrap();
    assert!(text.starts_with("a:1:… ää"), "{text}");
    assert!(text.contains("äneedleb") && text.ends_with("b … [line of 5.8 KiB]\n"), "{text}");
    assert!(!text.contains('\u{fffd}') && text.chars().count() < 600, "{text}");
}

#[test]
fn a_file_that_turns_out_to_be_binary_leaves_nothing_behind() {
    let mut content = "needle\n".repeat(50_000).into_bytes();
    content.push(0);
    let (_folder, workspace) = tree(&[("a", &content), ("b", b"needle\n")]);
    let arguments = Arguments { max_matches: Some(2_000), ..pattern("needle") };
    let text = run(&workspace, arguments).unwrap();
    // The limit ends the search of `a` before its end is seen.
    assert!(text.starts_with("a:1:needle\n"), "{text}");
    let mut content = b"needle\n".to_vec();
    content.extend("x\n".repeat(100_000).bytes());
    content.push(0);
    let (_folder, workspace) = tree(&[("a", &content), ("b", b"needle\n")]);
    assert_eq!(run(&workspace, pattern("needle")).unwrap(), "b:1:needle\n");
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let (_folder, workspace) = small();
    for (arguments, code, expected) in [
        (pattern("(unclosed"), "bad-pattern", "unclosed group"),
        (pattern("a\\nb"), "bad-pattern", "lines are searched one by one"),
        (pattern("(((((a{1000}){1000}){1000}){1000}){1000})"), "bad-pattern", "size limit"),
        (Arguments { glob: Some("[".into()), ..pattern("a") }, "bad-glob", "glob"),
        (Arguments { path: Some("../x".into()), ..pattern("a") }, "outside-workspace", "outside"),
        (Arguments { path: Some("srk".into()), ..pattern("a") }, "not-found", "did you mean src?"),
        (Arguments { max_matches: Some(0), ..pattern("a") }, "arguments", "at least 1"),
    ] {
        let failure = run(&workspace, arguments).unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(expected), "{}", failure.message);
    }
}

#[test]
fn an_empty_pattern_matches_every_line_and_a_line_too_long_is_told() {
    let (_folder, workspace) = tree(&[("a", b"x\n\n")]);
    assert_eq!(run(&workspace, pattern("")).unwrap(), "a:1:x\na:2:\n");
    let (_folder, workspace) = tree(&[("a", &vec![b'x'; LINE_BYTES + (1 << 20)])]);
    assert!(run(&workspace, pattern("y")).unwrap().contains("1 file or folder could not be read"));
}

#[test]
fn numbers_of_any_size_are_clamped_and_the_schema_knows_the_maximum() {
    let many = "needle\n".repeat(MOST_MATCHES + 1);
    let (_folder, workspace) = tree(&[("a", many.as_bytes())]);
    let call = |arguments: &str| match tool_kit::answer("grep", run, &workspace, "grep", arguments) {
        tool_kit::Outcome::Returned(parts) => format!("{parts:?}"),
        tool_kit::Outcome::Failed(failure) => failure.message,
    };
    for huge in ["99999999999", "18446744073709551615"] {
        let text = call(&format!(r#"{{"pattern":"needle","context":{huge},"max_matches":{huge}}}"#));
        assert!(text.contains("[stopped at 2000 matches"), "{}", &text[text.len() - 200..]);
    }
    // What does not fit into `usize` where it has 32 bits.
    assert_eq!([0, 49, 50, 51, 1 << 40, u64::MAX].map(|number| at_most(number, 50)), [0, 49, 50, 50, 50, 50]);
    let schema = include_str!("../tool.json");
    for maximum in [MOST_CONTEXT, MOST_MATCHES] {
        assert!(schema.contains(&format!(r#""maximum": {maximum}, "#)), "{maximum}");
    }
}
