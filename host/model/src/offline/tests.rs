//! Conversations with the offline model, played with small tools over files in memory.

use super::*;
use harness_core::CallId;
use harness_core::item::{Category, Effects, ModelRef, ToolResult, ToolSpec};
use harness_core::verdict::ApproveMode;
use std::collections::BTreeMap;

const LOOKING: &[&str] = &["grep", "glob", "list_dir", "read_file"];

fn context(tools: &[&str]) -> Context {
    let tool = |name: &&str| ToolSpec {
        name: (*name).to_owned(),
        description: String::new(),
        parameters: serde_json::json!({ "type": "object" }),
        category: Category::Read,
        effects: Effects::Staged,
        implementation: "test".to_owned(),
        component: String::new(),
    };
    Context {
        model: ModelRef { provider: "offline".into(), name: "offline".into() },
        model_reason: "test".into(),
        system: String::new(),
        tools: tools.iter().map(tool).collect(),
        approve: ApproveMode::Ask,
        rules: Vec::new(),
        modes: Vec::new(),
        price: None,
        agent: harness_core::event::DEFAULT_AGENT.to_owned(),
        trust: false,
    }
}

/// The tools as the components are: the same output, over files in memory.
fn run(files: &BTreeMap<&str, &str>, tool: &str, arguments: &Value) -> (String, bool) {
    let word = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let text = match tool {
        "list_dir" => {
            let mut names: Vec<String> = files
                .iter()
                .map(|(path, text)| {
                    path.split_once('/')
                        .map_or_else(|| format!("{path}\t{} B", text.len()), |(folder, _)| format!("{folder}/"))
                })
                .collect();
            names.dedup();
            names.join("\n")
        }
        "glob" => {
            let pattern = word("pattern");
            let wanted: Vec<String> = pattern
                .trim_start_matches("**/*")
                .trim_matches(['{', '}', '*'])
                .split(',')
                .map(|part| part.trim_matches('*').replace(['[', ']'], "").to_lowercase())
                .collect();
            // `[rR]etry` became `rretry`: the first letter is there twice.
            let fits = |path: &str| {
                wanted.iter().any(|want| {
                    path.to_lowercase().contains(want.as_str())
                        || want.get(1..).is_some_and(|want| path.to_lowercase().contains(want))
                })
            };
            files.keys().filter(|path| fits(path)).copied().collect::<Vec<_>>().join("\n")
        }
        "grep" => {
            let wanted: Vec<String> = word("pattern").replace('\\', "").split('|').map(str::to_lowercase).collect();
            let only = word("path");
            let mut lines = Vec::new();
            for (path, text) in files.iter().filter(|(path, _)| only.is_empty() || **path == only) {
                for (number, line) in text.lines().enumerate() {
                    if wanted.iter().any(|want| line.to_lowercase().contains(want.as_str())) {
                        lines.push(if arguments.get("files_only").is_some() {
                            (*path).to_owned()
                        } else {
                            format!("{path}:{}:{line}", number + 1)
                        });
                    }
                }
            }
            lines.dedup();
            if lines.is_empty() { "[no match]".to_owned() } else { lines.join("\n") }
        }
        "read_file" => match files.get(word("path").as_str()) {
            Some(text) => {
                let number =
                    |name: &str, default| arguments.get(name).and_then(Value::as_u64).map_or(default, |n| n as usize);
                let (offset, limit) = (number("offset", 1), number("limit", 2000));
                text.lines()
                    .enumerate()
                    .skip(offset - 1)
                    .take(limit)
                    .map(|(at, line)| format!("{:>6}\t{line}\n", at + 1))
                    .collect()
            }
            None => return ("Failed (not-found): no such file".to_owned(), true),
        },
        "fail" => return ("Failed (boom): it broke".to_owned(), true),
        other => format!("{other} did {arguments}"),
    };
    (text, false)
}

/// Plays a turn to its end: the calls that were made, and the answer.
fn play(tools: &[&str], files: &BTreeMap<&str, &str>, prompt: &str) -> (Vec<String>, String) {
    let context = context(tools);
    let mut items = vec![Arc::new(Item::User { text: prompt.to_owned() })];
    let mut made = Vec::new();
    for _ in 0..20 {
        let response = Offline::answer(&context, &items);
        assert_eq!(response, Offline::answer(&context, &items), "not a pure function");
        assert_eq!(response.usage, Usage::default());
        let mut results = Vec::new();
        for part in &response.parts {
            match part {
                AssistantPart::Text { text } => {
                    assert_eq!(response.parts.len(), 1);
                    return (made, text.clone());
                }
                AssistantPart::ToolCall { provider_call, tool, arguments } => {
                    made.push(format!("{tool} {arguments}"));
                    let (text, is_error) = run(files, tool, &serde_json::from_str(arguments).unwrap_or(Value::Null));
                    results.push(ToolResult {
                        call: CallId::from_bits(1),
                        provider_call: provider_call.clone(),
                        tool: tool.clone(),
                        text,
                        is_error,
                    });
                }
                AssistantPart::Reasoning { .. } => panic!("it does not reason"),
            }
        }
        items.push(Arc::new(Item::Assistant { model: context.model.clone(), parts: response.parts }));
        items.push(Arc::new(Item::ToolResults { results }));
    }
    panic!("no end: {made:?}");
}

#[test]
fn scripts_call_one_tool_after_the_other() {
    let files = BTreeMap::new();
    let prompt = "Please do this:\nTOOL write_file {\"path\":\"a\"}\nTOOL {\"name\":\"edit_file\",\"arguments\":{\"path\":\"b\"}}\n$ cargo test\nTOOL list";
    let (made, answer) = play(&["shell"], &files, prompt);
    assert_eq!(
        made,
        ["write_file {\"path\":\"a\"}", "edit_file {\"path\":\"b\"}", "shell {\"command\":\"cargo test\"}", "list {}"]
    );
    assert!(answer.starts_with(FIRST_WORDS), "{answer}");
    assert!(answer.contains("the 4 calls") && answer.contains("shell did {\"command\":\"cargo test\"}"), "{answer}");
}

#[test]
fn a_script_stops_at_the_first_failure_and_quotes_it() {
    let (made, answer) =
        play(&[], &BTreeMap::new(), "TOOL a {}\nTOOL fail {}\nTOOL b {}\nTOOL c {}\nANSWER {\"ok\":true}");
    assert_eq!(made, ["a {}", "fail {}"]);
    assert!(answer.starts_with(FIRST_WORDS) && answer.contains("call 2 of your script failed"), "{answer}");
    assert!(
        answer.contains("Failed (boom): it broke") && answer.contains("The 2 calls after it were not made"),
        "{answer}"
    );
    assert!(answer.contains("a did {}"), "{answer}");
}

#[test]
fn a_script_may_hold_its_answer() {
    let (made, answer) = play(&[], &BTreeMap::new(), "TOOL a {}\nANSWER {\"result\": [1, 2]}\n\n");
    assert_eq!((made.len(), answer.as_str()), (1, "{\"result\": [1, 2]}"));
    let (made, answer) = play(&[], &BTreeMap::new(), "ANSWER 42");
    assert_eq!((made.len(), answer.as_str()), (0, "42"));
    let (_, answer) = play(&[], &BTreeMap::new(), "ANSWER no\nTOOL a {}");
    assert!(answer.starts_with(FIRST_WORDS), "only the last line is the answer: {answer}");
}

#[test]
fn without_a_shell_a_command_is_not_run() {
    let (made, answer) = play(&["grep"], &BTreeMap::new(), "TOOL a {}\n$ ls");
    assert_eq!(made, ["a {}"]);
    assert!(answer.contains("there is no shell tool here; the tools are: grep"), "{answer}");
}

#[test]
fn arguments_that_are_no_json_are_passed_on_as_written() {
    let (made, _) = play(&[], &BTreeMap::new(), "TOOL a {broken\nTOOL b [1,\"x\"]");
    assert_eq!(made, ["a {broken", "b [1,\"x\"]"]);
}

#[test]
fn every_turn_starts_anew() {
    let context = context(&[]);
    let items = [
        Arc::new(Item::User { text: "TOOL a {}".into() }),
        Arc::new(Item::Assistant { model: context.model.clone(), parts: vec![] }),
        Arc::new(Item::ToolResults { results: vec![] }),
        Arc::new(Item::User { text: "ANSWER second".into() }),
    ];
    assert_eq!(Offline::answer(&context, &items).parts, [AssistantPart::Text { text: "second".into() }]);
}

fn project() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("README.md", "# Teapot\n\nTeapot brews tea over HTTP.\n"),
        ("Cargo.toml", "[package]\nname = \"teapot\"\n"),
        ("Cargo.lock", "retry\ndelay\nretry delay first\n"),
        (
            "src/retry.rs",
            "//! Repeating requests.\n\n/// Wait before the first repetition; it doubles.\npub const RETRY_DELAY_FIRST_MS: u64 = 500;\n\npub fn delay(attempt: u32) -> u64 {\n    RETRY_DELAY_FIRST_MS << attempt\n}\n",
        ),
        ("src/brew.rs", "/// Pours.\npub fn pour() {}\n// no retry here\n"),
        ("docs/notes.md", "Some words about kettles and water.\n"),
    ])
}

#[test]
fn questions_are_answered_with_passages() {
    let files = project();
    for (prompt, path, quoted) in [
        ("Where is the retry delay defined?", "src/retry.rs:", "pub const RETRY_DELAY_FIRST_MS: u64 = 500;"),
        ("what does `pour` do?", "src/brew.rs:1", "pub fn pour() {}"),
        ("Is there anything about kettles?", "docs/notes.md:1", "Some words about kettles"),
        ("How long is RETRY_DELAY_FIRST_MS?", "src/retry.rs:", "u64 = 500"),
        ("What is this project?", "README.md:1", "Teapot brews tea over HTTP."),
        ("explain the codebase", "Cargo.toml:1", "name = \"teapot\""),
    ] {
        let (made, answer) = play(LOOKING, &files, prompt);
        assert!(answer.starts_with(FIRST_WORDS), "{answer}");
        assert!(answer.contains(path) && answer.contains(quoted), "{prompt}: {answer}");
        assert!(made.iter().any(|call| call.starts_with("read_file")), "{made:?}");
    }
    let (_, answer) = play(LOOKING, &files, "Where is the retry delay defined?");
    let best = answer.find("**src/retry.rs").unwrap();
    assert!(answer.find("Cargo.lock").is_none_or(|lock| lock > best), "{answer}");
}

#[test]
fn nothing_found_is_said_and_what_is_there_is_listed() {
    let (_, answer) = play(LOOKING, &project(), "Where are the zebras?");
    assert!(answer.contains("found nothing") && answer.contains("`zebra`"), "{answer}");
    assert!(answer.contains("`README.md`") && answer.contains("`src/`"), "{answer}");
    let (_, answer) = play(LOOKING, &BTreeMap::new(), "What is this project?");
    assert!(answer.contains("no file that tells"), "{answer}");
}

#[test]
fn without_tools_it_says_what_it_would_need() {
    let (made, answer) = play(&["shell"], &project(), "What is this?");
    assert!(made.is_empty() && answer.contains("grep, glob, list_dir, read_file"), "{answer}");
    let (made, answer) = play(&["grep"], &project(), "kettles?");
    assert_eq!(made.len(), 1);
    assert!(answer.contains("docs/notes.md") && answer.contains("cannot read"), "{answer}");
}

#[test]
fn text_comes_in_pieces_that_make_the_text() {
    let text = format!("{} end", "wörd ".repeat(100));
    let list: Vec<&str> = pieces(&text).collect();
    assert!(list.len() > 3);
    assert_eq!(list.concat(), text);
    assert_eq!(pieces("").count(), 0);
}

/// The files of a folder, with paths as the tools give them.
fn tree(root: &std::path::Path, below: &str, files: &mut BTreeMap<&'static str, &'static str>) {
    for entry in std::fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            tree(&entry.path(), &path, files);
        } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
            files.insert(path.leak(), text.leak());
        }
    }
}

#[test]
fn questions_about_these_very_sources_find_their_place() {
    let mut files = BTreeMap::new();
    tree(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    for (question, place) in [
        ("Where is the retry-after date parsed?", "**retry_after.rs:"),
        ("How long may a line of server-sent events be?", "**sse.rs:"),
        ("What does ChunkedBody do?", "**body.rs:"),
        ("Which timeouts are there for connecting?", "**client.rs:"),
        ("How are prices turned into cost_micro_usd?", "**price.rs:"),
        ("How is the key scrubbed from errors?", "**key.rs:"),
    ] {
        let (made, answer) = play(LOOKING, &files, question);
        assert!(answer.contains(place), "{question}\n{}\n{answer}", made.join("\n"));
    }
}
