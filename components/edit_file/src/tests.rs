//! What `edit_file` changes, and how it explains what it does not.

use super::*;

struct Outcome {
    reply: Reply,
    after: String,
}

fn edit_with(content: &[u8], old: &str, new: &str, all: bool) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let full = folder.path().join("file");
    fs::write(&full, content).unwrap();
    let reply = run(
        &Workspace::at(folder.path()),
        Arguments { path: "file".into(), old_string: old.into(), new_string: new.into(), replace_all: Some(all) },
    );
    Outcome { reply, after: String::from_utf8_lossy(&fs::read(full).unwrap()).into_owned() }
}

fn edit(content: &str, old: &str, new: &str) -> Outcome {
    edit_with(content.as_bytes(), old, new, false)
}

#[test]
fn replaces_exactly_and_keeps_line_ends() {
    for (content, old, new, after) in [
        ("a\nb\nc\n", "b", "x", "a\nx\nc\n"),
        ("a\nb\nc", "c", "x\ny", "a\nb\nx\ny"),
        ("a\nb\nc", "\nb\n", "\n", "a\nc"),
        ("only", "only", "", ""),
        ("a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz", "x\r\ny\r\nz\r\nc\r\n"),
        ("a\r\nb\r\n", "b", "x\ny", "a\r\nx\r\ny\r\n"),
        ("a\r\nb\r\n", "a\r\n", "x\r\n", "x\r\nb\r\n"),
        ("a\r\nb\nc\n", "b\n", "x\n", "a\r\nx\nc\n"),
        ("äöü", "ö", "o", "äoü"),
    ] {
        let outcome = edit(content, old, new);
        assert_eq!(outcome.after, after, "{content:?}: {:?}", outcome.reply);
        assert!(outcome.reply.is_ok());
    }
    // What is not UTF-8 stays as it is.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), b"caf\xe9 a\n").unwrap();
    let arguments = Arguments { path: "f".into(), old_string: " a".into(), new_string: " b".into(), replace_all: None };
    run(&Workspace::at(folder.path()), arguments).unwrap();
    assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"caf\xe9 b\n");
}

#[test]
fn confirms_with_the_changed_lines_in_context() {
    let content: String = (1..=9).map(|number| format!("line {number}\n")).collect();
    let outcome = edit(&content, "line 5\n", "five\n5\n");
    assert_eq!(
        outcome.reply.unwrap(),
        "edited file: 1 replacement\n     2\tline 2\n     3\tline 3\n     4\tline 4\n     5\tfive\n     6\t5\n     \
         7\tline 6\n     8\tline 7\n     9\tline 8\n"
    );
    assert_eq!(edit("x", "x", "").reply.unwrap(), "edited file: 1 replacement\n     1\t\n");
    let many = "a\n".repeat(100);
    let text = edit_with(many.as_bytes(), "a", "b", true).reply.unwrap();
    assert!(text.starts_with("edited file: 100 replacements\n     1\tb\n"), "{text}");
    assert!(text.ends_with("[and 97 more replacements]\n"), "{text}");
    let text = edit("a", "a", &"b\n".repeat(100)).reply.unwrap();
    assert!(text.contains("    31\tb\n     … [69 lines more changed]\n"), "{text}");
}

#[test]
fn several_matches_are_listed_unless_all_are_meant() {
    let outcome = edit("x = 1\ny\nx = 1\n", "x = 1", "x = 2");
    let failure = outcome.reply.unwrap_err();
    assert_eq!(failure.code, "several-matches");
    assert!(failure.message.contains("2 times, at lines 1, 3; include more"), "{}", failure.message);
    assert_eq!(outcome.after, "x = 1\ny\nx = 1\n");
    assert_eq!(edit_with(b"x = 1\ny\nx = 1\n", "x = 1", "x = 2", true).after, "x = 2\ny\nx = 2\n");
    assert_eq!(edit("aaa", "aa", "b").reply.unwrap_err().code, "several-matches");
    assert_eq!(edit_with(b"aaa", "aa", "b", true).after, "ba");
    let many = "a\n".repeat(100);
    assert!(edit(&many, "a", "b").reply.unwrap_err().message.contains("100 times, at lines 1, 2, 3"));
}

#[test]
fn what_does_not_match_is_explained() {
    let content = "fn main() {\n\tlet name = \"World\";\n\tprintln!(\"hi {name}\");  \n}\n\nfn other() {}\n";
    for (content, old, reason, shows) in [
        (content, "     1\tfn main() {\n     2\t\tlet name", "line numbers", "     1\tfn main() {\n     2\t\tlet"),
        (content, "    let name = \"World\";", "whitespace differs", "     2\t\tlet name"),
        (content, "    let name = \"World\";", "indents with tabs", ""),
        (content, "hi {name}\");\n}", "whitespace at the end of a line", "     3\t\tprintln!"),
        (content, "let name = \\\"World\\\";", "escapes", "     2\t\tlet name"),
        (content, "fn main() {\\n\\tlet name", "escapes", "     1\tfn main"),
        (content, "let name = “World”;", "quotes", "     2\t"),
        (content, "FN MAIN", "case differ", "     1\tfn main"),
        ("a\r\nb\nc\n", "a\nb\n", "CRLF", "     1\ta\n     2\tb\n"),
        (
            content,
            "fn main() {\n\tlet name = \"Moon\";\n",
            "nearest",
            "     1\tfn main() {\n     2\t\tlet name = \"World\"",
        ),
        (content, "\tprintln!(\"hi {the_name}\");", "nearest", "     3\t\tprintln!"),
        (content, "something else entirely", "nor anything like it", ""),
        (content, "\n\n\n\n", "nor anything like it", ""),
        ("", "a", "the file is empty", ""),
    ] {
        let outcome = edit(content, old, "new");
        let failure = outcome.reply.unwrap_err();
        assert_eq!(failure.code, "no-match");
        let said = failure.message.contains(reason) && failure.message.contains(shows);
        assert!(said, "{old:?} should say {reason:?}: {}", failure.message);
        assert_eq!(outcome.after, content);
    }
}

#[test]
fn a_large_file_that_does_not_match_is_explained_in_bounds() {
    let content = "some line of a file that is quite long\n".repeat(100_000);
    let message = edit(&content, "an other line of a file that is quite long", "x").reply.unwrap_err().message;
    assert!(message.contains("nearest") && message.len() < 500, "{message}");
    let grown = edit_with("a\n".repeat(1 << 20).as_bytes(), "a", "more than before", true).reply.unwrap_err();
    assert_eq!(grown.code, "file-size");
    let huge = edit(&"x".repeat(9 << 20), "a", "b").reply.unwrap_err();
    assert_eq!(huge.code, "file-size");
}

#[test]
fn what_cannot_be_edited_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    fs::write(folder.path().join("text"), "a").unwrap();
    fs::write(folder.path().join("binary"), "a\0").unwrap();
    let workspace = Workspace::at(folder.path());
    for (path, old, new, code, expected) in [
        ("new", "", "x", "not-found", "use write_file to create it"),
        ("new", "a", "x", "not-found", "new does not exist"),
        ("txt", "a", "x", "not-found", "did you mean text?"),
        ("empty", "", "x", "empty-old-string", "use write_file"),
        ("text", "", "x", "empty-old-string", "to insert"),
        ("text", "a", "a", "no-change", "the same"),
        ("src", "a", "b", "is-directory", "src is a folder"),
        ("binary", "a", "b", "binary", "NUL"),
        ("../text", "a", "b", "outside-workspace", "outside"),
    ] {
        let arguments =
            Arguments { path: path.into(), old_string: old.into(), new_string: new.into(), replace_all: None };
        let failure = run(&workspace, arguments).unwrap_err();
        assert_eq!(failure.code, code, "{path}");
        assert!(failure.message.contains(expected), "{path}: {}", failure.message);
    }
}
