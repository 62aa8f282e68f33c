//! The checklist HARDENING.md against the tree: every row is there, and every test that it names exists.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

/// Rows of the checklist.
const ROWS: usize = 30;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What is in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What is wrong with a named test.
fn problem(named: &str) -> Option<String> {
    let (file, test) = named.split_once("::").map_or((named, None), |(file, test)| (file, Some(test)));
    let Ok(text) = std::fs::read_to_string(root().join(file)) else { return Some(format!("there is no {file}")) };
    match test {
        Some(test) => {
            let is_there = text.contains(&format!("fn {test}("));
            // Alone on its line, or in a table of tests.
            let is_test = text.contains("#[test]") || text.contains("#[tokio::test") || text.contains("const TESTS");
            (!is_there || !is_test).then(|| format!("{file} has no test {test}"))
        }
        None => {
            let is_case =
                file.starts_with("tests/hostile/cases/") && (file.ends_with(".wat") || file.ends_with(".toml"));
            let expects = root().join(file).with_extension("toml").exists();
            (!is_case || !expects).then(|| format!("{file} is not a case of the corpus"))
        }
    }
}

/// What is wrong with a table.
fn problems(text: &str) -> Vec<String> {
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| P"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let mut wrong = Vec::new();
    for number in 1..=ROWS {
        let name = format!("P{number}");
        match &rows.iter().filter(|row| row[0] == name).collect::<Vec<_>>()[..] {
            [row] if row.len() == 4 && row.iter().all(|cell| !cell.is_empty()) => {
                let named = quoted(row[3]);
                if named.is_empty() {
                    wrong.push(format!("{name} names no test"));
                }
                wrong.extend(named.into_iter().filter_map(problem).map(|problem| format!("{name}: {problem}")));
            }
            [_] => wrong.push(format!("{name} is not a row of four cells")),
            found => wrong.push(format!("{name} is there {} times", found.len())),
        }
    }
    wrong
}

#[test]
fn every_pitfall_has_a_row_and_every_row_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("host/wasm/HARDENING.md")).unwrap();
    assert_eq!(problems(&text), [""; 0]);
}

#[test]
fn a_row_that_is_missing_or_names_nothing_is_found() {
    let text = std::fs::read_to_string(root().join("host/wasm/HARDENING.md")).unwrap();
    let without: String =
        text.lines().filter(|line| !line.starts_with("| P7 ")).map(|line| format!("{line}\n")).collect();
    assert_eq!(problems(&without), ["P7 is there 0 times"]);
    let renamed = text.replace("cache/tests.rs::no_mutant", "cache/tests.rs::some_mutant");
    assert_eq!(problems(&renamed).len(), 1);
    let moved = text.replace("cases/cpu/bulk-fill.wat", "cases/cpu/bulk-gone.wat");
    assert_eq!(problems(&moved), ["P22: there is no tests/hostile/cases/cpu/bulk-gone.wat"]);
}
