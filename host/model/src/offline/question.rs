//! Prompts that are questions about the workspace: searched for, read, quoted.

use super::keywords::{Keyword, keywords};
use super::matches::{Matches, PASSAGE_LINES, escape, numbered, paths};
use super::turn::Turn;
use super::{FIRST_WORDS, Next, cut, fenced};
use serde_json::{Value, json};

/// Passages read at most.
const PASSAGES_MAX: usize = 3;
/// Lines asked of one search.
const MATCHES_MAX: u64 = 500;
/// Lines asked of one file.
const FILE_MATCHES_MAX: u64 = 60;
/// Lines read of a file that tells what a project is.
const README_LINES: u64 = 60;
/// Other places named at most.
const OTHERS_MAX: usize = 8;
/// Bytes quoted of one passage.
const QUOTED_BYTES_MAX: usize = 3_000;
/// Files whose beginning says what a project is.
const TELLING_FILES: &str = "{README*,readme*,Readme*,Cargo.toml,package.json,pyproject.toml,go.mod,pom.xml,setup.py,composer.json,CMakeLists.txt}";

type Call = (String, Value);

/// What to do next about a question.
pub(super) fn next(turn: &Turn<'_>) -> Next {
    let keywords = keywords(turn.prompt);
    if turn.rounds == 0 {
        let calls = search(turn, &keywords);
        if calls.is_empty() {
            let tools = turn.tools();
            return Next::Say(format!(
                "{FIRST_WORDS} I answer questions by searching the workspace, and none of the tools that takes (grep, glob, list_dir, read_file) is here; the tools are: {tools}."
            ));
        }
        return Next::Calls(calls);
    }
    if turn.done.iter().any(|done| done.tool == "read_file") {
        return Next::Say(answer(turn, &keywords));
    }
    let calls = if keywords.is_empty() { read_telling(turn) } else { look_closer(turn, &keywords) };
    if calls.is_empty() { Next::Say(nothing(turn, &keywords)) } else { Next::Calls(calls) }
}

/// The first search.
fn search(turn: &Turn<'_>, keywords: &[Keyword]) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut add = |tool: &str, arguments: Value| {
        if turn.offers(tool) {
            calls.push((tool.to_owned(), arguments));
        }
    };
    if keywords.is_empty() {
        add("list_dir", json!({}));
        add("glob", json!({ "pattern": TELLING_FILES }));
        return calls;
    }
    add("grep", json!({ "pattern": any_of(keywords), "case_insensitive": true, "max_matches": MATCHES_MAX }));
    if keywords.len() > 1 {
        // A word that is everywhere must not hide the files that have all of them.
        for word in keywords {
            let pattern = escape(&word.text);
            add(
                "grep",
                json!({ "pattern": pattern, "case_insensitive": true, "files_only": true, "max_matches": MATCHES_MAX }),
            );
        }
    }
    let names: Vec<String> =
        keywords.iter().filter(|word| word.text.chars().all(fits_glob)).map(|word| glob_part(&word.text)).collect();
    if !names.is_empty() {
        add("glob", json!({ "pattern": format!("**/*{{{}}}*", names.join(",")) }));
    }
    add("list_dir", json!({}));
    calls
}

fn any_of(keywords: &[Keyword]) -> String {
    keywords.iter().map(|word| escape(&word.text)).collect::<Vec<_>>().join("|")
}

fn fits_glob(character: char) -> bool {
    character.is_alphanumeric() || "_-.".contains(character)
}

/// A word as a glob that does not care for the case of its first letter.
fn glob_part(word: &str) -> String {
    let mut characters = word.chars();
    match characters.next() {
        Some(first) if first.is_ascii_alphabetic() => {
            format!("[{}{}]{}", first.to_ascii_lowercase(), first.to_ascii_uppercase(), characters.as_str())
        }
        _ => word.to_owned(),
    }
}

/// After a search: looks for the lines of the best files, or reads their passages.
fn look_closer(turn: &Turn<'_>, keywords: &[Keyword]) -> Vec<Call> {
    let matches = Matches::of(turn, keywords);
    let best: Vec<_> = matches.best().into_iter().take(PASSAGES_MAX).collect();
    let blind: Vec<_> = best.iter().filter(|(_, file)| file.lines.is_empty() && !file.words.is_empty()).collect();
    if turn.rounds == 1 && !blind.is_empty() && turn.offers("grep") {
        let pattern = any_of(keywords);
        let look = |path: &str| {
            let arguments =
                json!({ "pattern": pattern, "path": path, "case_insensitive": true, "max_matches": FILE_MATCHES_MAX });
            ("grep".to_owned(), arguments)
        };
        return blind.into_iter().map(|(path, _)| look(path)).collect();
    }
    if !turn.offers("read_file") {
        return Vec::new();
    }
    // A file that fits far less than the best one only distracts.
    let worth_reading = best.first().map_or(0.0, |(_, file)| file.score * 0.4);
    let read = |path: &str, first: u64| {
        ("read_file".to_owned(), json!({ "path": path, "offset": first, "limit": PASSAGE_LINES }))
    };
    best.into_iter()
        .filter(|(_, file)| file.score >= worth_reading)
        .map(|(path, file)| read(path, matches.passage(file, keywords)))
        .collect()
}

/// After a look around: reads what tells of a project.
fn read_telling(turn: &Turn<'_>) -> Vec<Call> {
    if !turn.offers("read_file") {
        return Vec::new();
    }
    let mut files: Vec<&str> = turn
        .done
        .iter()
        .filter(|done| done.tool == "glob" && !done.is_error)
        .flat_map(|done| paths(done.text))
        .collect();
    if files.is_empty() {
        let listed =
            turn.done.iter().filter(|done| done.tool == "list_dir" && !done.is_error).flat_map(|done| names(done.text));
        files = listed
            .filter(|name| !name.ends_with('/') && (name.to_lowercase().contains("readme") || name.ends_with(".md")))
            .collect();
    }
    // What people wrote for people comes first.
    files.sort_by_key(|path| (path.matches('/').count(), !path.to_lowercase().contains("readme")));
    let read = |path: &str| ("read_file".to_owned(), json!({ "path": path, "offset": 1, "limit": README_LINES }));
    files.into_iter().take(2).map(read).collect()
}

/// The names in a listing of `list_dir`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    paths(text).filter_map(|line| line.split('\t').next())
}

/// The answer out of what was read.
fn answer(turn: &Turn<'_>, keywords: &[Keyword]) -> String {
    let mut text = if keywords.is_empty() {
        format!("{FIRST_WORDS} I looked at the files that tell what this is, and quote how they begin.")
    } else {
        format!("{FIRST_WORDS} I searched the workspace for {} and quote what fits best.", shown(keywords))
    };
    let mut quoted = Vec::new();
    for done in turn.done.iter().filter(|done| done.tool == "read_file") {
        let path = done.argument("path").unwrap_or("?");
        let lines = numbered(done.text);
        let (Some((first, _)), Some((last, _)), false) = (lines.first(), lines.last(), done.is_error) else {
            text.push_str(&format!("\n\n`{path}` could not be read: {}", cut(done.text, 3, 300)));
            continue;
        };
        quoted.push(path.to_owned());
        let passage: Vec<&str> = lines.iter().map(|(_, line)| *line).collect();
        let passage = cut(passage.join("\n").trim_end(), usize::MAX, QUOTED_BYTES_MAX);
        text.push_str(&format!("\n\n**{path}:{first}** (to line {last})\n{}", fenced(&passage)));
    }
    if keywords.is_empty() {
        text.push_str(&listing(turn));
        return text;
    }
    let matches = Matches::of(turn, keywords);
    let others: Vec<String> = matches
        .best()
        .into_iter()
        .filter(|(path, _)| !quoted.iter().any(|known| known == path))
        .take(OTHERS_MAX)
        .map(|(path, file)| {
            if file.lines.is_empty() { path.to_owned() } else { format!("{path}:{}", matches.passage(file, keywords)) }
        })
        .collect();
    if !others.is_empty() {
        text.push_str(&format!("\n\nAlso: {}.", others.join(", ")));
    }
    text
}

/// The answer when there is nothing to quote.
fn nothing(turn: &Turn<'_>, keywords: &[Keyword]) -> String {
    let failed: Vec<String> = turn
        .done
        .iter()
        .filter(|done| done.is_error)
        .map(|done| format!("{}: {}", done.tool, cut(done.text, 3, 300)))
        .collect();
    let mut text = if keywords.is_empty() {
        format!("{FIRST_WORDS} I found no file that tells what this is.")
    } else {
        let matches = Matches::of(turn, keywords);
        let best = matches.best();
        if best.is_empty() {
            format!("{FIRST_WORDS} I searched the workspace for {} and found nothing.", shown(keywords))
        } else {
            let places: Vec<&str> = best.into_iter().take(OTHERS_MAX).map(|(path, _)| path).collect();
            format!(
                "{FIRST_WORDS} I searched the workspace for {} and found it in {}, which I cannot read here.",
                shown(keywords),
                places.join(", ")
            )
        }
    };
    if !failed.is_empty() {
        text.push_str(&format!("\n\nSome of the looking failed:\n{}", failed.join("\n")));
    }
    text.push_str(&listing(turn));
    text
}

/// What is at the top of the workspace.
fn listing(turn: &Turn<'_>) -> String {
    let Some(done) = turn.done.iter().find(|done| done.tool == "list_dir" && !done.is_error) else {
        return String::new();
    };
    let entries: Vec<&str> = names(done.text).collect();
    if entries.is_empty() {
        return "\n\nThe workspace is empty.".to_owned();
    }
    let more = entries.len().saturating_sub(40);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "\n\nIn the workspace: {}{rest}.",
        entries.iter().take(40).map(|entry| format!("`{entry}`")).collect::<Vec<_>>().join(", ")
    )
}

fn shown(keywords: &[Keyword]) -> String {
    keywords.iter().map(|word| format!("`{}`", word.text)).collect::<Vec<_>>().join(", ")
}
