//! What `read_file` shows, and what it says when it cannot.

use std::fmt::Write as _;
use std::fs;

use super::*;

fn read_with(content: &[u8], offset: Option<u64>, limit: Option<u64>) -> Reply {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), content).unwrap();
    run(&Workspace::at(folder.path()), Arguments { path: "file".into(), offset, limit })
}

fn read(content: &[u8]) -> Reply {
    read_with(content, None, None)
}

fn numbered(lines: u64) -> String {
    (1..=lines).fold(String::new(), |mut all, line| {
        writeln!(all, "line {line}").unwrap();
        all
    })
}

#[test]
fn shows_numbered_lines() {
    assert_eq!(read(b"a\n\nc\n").unwrap(), "     1\ta\n     2\t\n     3\tc\n");
    assert_eq!(read(b"no newline").unwrap(), "     1\tno newline\n");
    assert_eq!(read(b"\n").unwrap(), "     1\t\n");
    assert_eq!(read(b"").unwrap(), "[file is empty]");
    assert_eq!(read("\u{feff}bom\n".as_bytes()).unwrap(), "     1\tbom\n");
    assert_eq!(read(b"a\r\nb\r\n").unwrap(), "     1\ta\n     2\tb\n[lines end with CRLF]");
}

#[test]
fn says_how_to_go_on() {
    let content = numbered(5321);
    let text = read(content.as_bytes()).unwrap();
    assert!(text.ends_with("  2000\tline 2000\n[lines 1-2000 of 5321; continue with offset=2001]"), "{text}");
    let text = read_with(content.as_bytes(), Some(2001), Some(3)).unwrap();
    assert!(text.starts_with("  2001\tline 2001\n"), "{text}");
    assert!(text.ends_with("[lines 2001-2003 of 5321; continue with offset=2004]"), "{text}");
    let text = read_with(content.as_bytes(), Some(5321), Some(99_999)).unwrap();
    assert_eq!(text, "  5321\tline 5321\n[lines 5321-5321 of 5321: the end of file]");
    let failure = read_with(content.as_bytes(), Some(5322), None).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.message.contains("has 5321 lines")), ("past-end", true));
    assert_eq!(read_with(b"a", Some(0), None).unwrap_err().code, "arguments");
    assert_eq!(read_with(b"a", None, Some(0)).unwrap_err().code, "arguments");
}

#[test]
fn a_result_has_a_size() {
    let content = format!("{}\n", "x".repeat(1_000)).repeat(100);
    let text = read(content.as_bytes()).unwrap();
    assert!(text.len() <= text::OUTPUT_BYTES + 100);
    assert!(text.ends_with("[lines 1-50 of 100, cut at 50 KiB; continue with offset=51]"), "{text}");
}

#[test]
fn long_lines_are_cut_and_say_so() {
    let text = read(format!("{}\nb\n", "ä".repeat(2_010)).as_bytes()).unwrap();
    assert_eq!(text, format!("     1\t{} … [10 more characters]\n     2\tb\n", "ä".repeat(2_000)));
    let text = read(format!("{}\nb\n", "x".repeat(3 << 20)).as_bytes()).unwrap();
    assert!(text.contains("x … [2.9 MiB more]\n     2\tb\n"), "{}", &text[2_000..]);
}

#[test]
fn what_is_not_text_is_told_apart() {
    for (content, expected) in [
        (b"\x7fELF\0\0".as_slice(), "NUL bytes), 6 B"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"caf\xe9\n", "another encoding"),
        (b"cut \xc3", "another encoding"),
    ] {
        let failure = read(content).unwrap_err();
        assert_eq!(failure.code, "binary");
        assert!(failure.message.contains(expected), "{}", failure.message);
    }
}

#[test]
fn a_character_across_the_end_of_the_head_is_text() {
    let content = format!("{}ä{}", "x\n".repeat(HEAD_BYTES / 2 - 1) + "x", "\nend\n");
    assert!(content.as_bytes()[HEAD_BYTES - 1] == 0xc3);
    assert!(read(content.as_bytes()).is_ok());
}

#[test]
fn bytes_that_are_not_text_further_on_are_marked() {
    let mut content = "x\n".repeat(HEAD_BYTES).into_bytes();
    content.extend(b"caf\xe9\n");
    let text = read_with(&content, Some(HEAD_BYTES as u64 + 1), None).unwrap();
    assert!(text.contains("caf\u{fffd}\n") && text.ends_with("shown as \u{fffd}]"), "{text}");
}

#[test]
fn folders_and_missing_files_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/main.rs"), "x").unwrap();
    let workspace = Workspace::at(folder.path());
    let fails = |path: &str| run(&workspace, Arguments { path: path.into(), offset: None, limit: None }).unwrap_err();
    assert!(fails("src").message.contains("src is a folder, not a file; use list_dir"));
    assert!(fails("src/man.rs").message.contains("did you mean src/main.rs?"));
    assert!(fails("../x").message.contains("outside the workspace"));
    assert_eq!(fails("src/main.rs/x").code, "not-found");
}

#[test]
fn a_huge_file_is_streamed() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("huge")).unwrap();
    // Sparse: takes no room. The first bytes are text, so that it is not told apart as binary at once.
    std::io::Write::write_all(&mut &file, "text\n".repeat(HEAD_BYTES).as_bytes()).unwrap();
    file.set_len(1 << 30).unwrap();
    let workspace = Workspace::at(folder.path());
    let text = run(&workspace, Arguments { path: "huge".into(), offset: None, limit: Some(2) }).unwrap();
    assert!(text.contains("[lines 1-2 of more than 8192; continue with offset=3]"), "{text}");
}

fn page(content: &str, first: u64, read_bytes: u64) -> Reply {
    let path = Workspace::at("/nowhere").resolve("file").unwrap();
    // As little at a time as possible: the limit is kept give or take this.
    let source = BufReader::with_capacity(1, content.as_bytes());
    Page::read(source, first, LINES, read_bytes).unwrap().finish(&path, first)
}

#[test]
fn no_more_is_read_than_is_allowed() {
    let ended = "[lines 1-2; no more than the first 256.0 MiB are read]";
    let x = "x".repeat(2_000);
    for (content, first, read_bytes, expected) in [
        ("a\nb\n".to_owned(), 1, 4, "     1\ta\n     2\tb\n".to_owned()),
        ("a\nb\nc".to_owned(), 1, 4, format!("     1\ta\n     2\tb\n{ended}")),
        ("a\nbcde\n".to_owned(), 1, 4, format!("     1\ta\n     2\tbc … [more than 0 B more]\n{ended}")),
        (
            format!("a\n{}", "x".repeat(99_000)),
            1,
            10_002,
            format!("     1\ta\n     2\t{x} … [more than 7.8 KiB more]\n{ended}"),
        ),
        ("a\nb\nc\n".to_owned(), 3, 6, "     3\tc\n[lines 3-3 of 3: the end of file]".to_owned()),
    ] {
        assert_eq!(page(&content, first, read_bytes).unwrap(), expected);
    }
    for (content, first, code, expected) in [
        ("a\nb\nc\nd\n", 4, "too-far", "file has more than 2 lines, and no more than its first 256.0 MiB"),
        ("a\nbbbbbbbbbbbbbbbb\nc", 3, "too-far", "file has more than 1 lines"),
        ("a\nb\n", u64::MAX, "past-end", "file has 2 lines"),
    ] {
        let failure = page(content, first, 5).unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(expected), "{}", failure.message);
    }
}

#[test]
fn a_huge_offset_or_a_huge_line_does_not_read_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("huge")).unwrap();
    // Sparse: one line without an end that nobody could read in a test.
    std::io::Write::write_all(&mut &file, "text\n".repeat(HEAD_BYTES).as_bytes()).unwrap();
    file.set_len(1 << 33).unwrap();
    let workspace = Workspace::at(folder.path());
    let read = |offset| run(&workspace, Arguments { path: "huge".into(), offset: Some(offset), limit: Some(9) });
    let failure = read(u64::MAX).unwrap_err();
    assert_eq!(failure.code, "too-far");
    assert!(failure.message.contains("more than 8192 lines"), "{}", failure.message);
    let text = read(8193).unwrap();
    assert!(text.contains("… [more than 255.9 MiB more]\n[lines 8193-8193; no more"), "{}", &text[text.len() - 200..]);
}

#[test]
fn the_schema_knows_the_limits() {
    let schema = include_str!("../tool.json");
    // A line takes a byte at least.
    for maximum in [READ_BYTES, LINES] {
        assert!(schema.contains(&format!(r#""minimum": 1, "maximum": {maximum}, "#)), "{maximum}");
    }
}
