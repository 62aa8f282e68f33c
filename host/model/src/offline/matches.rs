//! What searching found: lines of files, and how well they fit.
//!
//! Reads what the tools `grep` (`path:line:text`, context as `path-line-text`), `glob` (a path a line),
//! `list_dir` and `read_file` (number, tab, line) print.

use super::keywords::Keyword;
use super::turn::Turn;
use std::collections::BTreeMap;

/// Lines above a hit that belong to its passage.
const LINES_BEFORE: u64 = 3;
/// Lines of a passage.
pub(super) const PASSAGE_LINES: u64 = 24;
/// Paths that are seldom what a question is about.
const MINOR_PATHS: &[&str] =
    &["lock", "changelog", "license", "/vendor/", "node_modules", ".min.", "/snapshots/", ".svg"];
/// Paths that come after others.
const LATER_PATHS: &[&str] = &["test", "example", "bench", "fixture"];
/// What begins a definition, after `pub` and its like.
const DEFINITIONS: &[&str] = &[
    "fn ",
    "struct ",
    "enum ",
    "trait ",
    "type ",
    "const ",
    "static ",
    "mod ",
    "macro_rules!",
    "class ",
    "def ",
    "function ",
    "interface ",
    "func ",
    "# ",
    "## ",
    "### ",
    "impl ",
    "package ",
    "record ",
    "world ",
];

/// A file with the lines that were found in it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The lines, by number.
    pub(super) lines: BTreeMap<u64, String>,
    /// The words that are known to be in it, by position.
    pub(super) words: Vec<usize>,
    /// How well it fits.
    pub(super) score: f64,
}

/// Everything that was found, by path.
#[derive(Debug, Default)]
pub(super) struct Matches {
    files: BTreeMap<String, Found>,
    /// How many files each word was found in.
    spread: Vec<usize>,
}

impl Matches {
    /// Reads the results of a turn.
    pub(super) fn of(turn: &Turn<'_>, keywords: &[Keyword]) -> Self {
        let mut matches = Self { files: BTreeMap::new(), spread: vec![0; keywords.len()] };
        for done in turn.done.iter().filter(|done| !done.is_error) {
            match done.tool {
                "grep" if done.arguments.get("files_only").is_some_and(|only| only == true) => {
                    let word = keywords.iter().position(|word| done.argument("pattern") == Some(&escape(&word.text)));
                    for path in paths(done.text) {
                        let file = matches.files.entry(path.to_owned()).or_default();
                        file.words.extend(word);
                    }
                }
                "grep" => {
                    for (path, line, text) in done.text.lines().filter_map(|line| hit(line, done.argument("path"))) {
                        let file = matches.files.entry(path.to_owned()).or_default();
                        file.lines.insert(line, text.to_owned());
                    }
                }
                "glob" => {
                    for path in paths(done.text) {
                        matches.files.entry(path.to_owned()).or_default();
                    }
                }
                _ => {}
            }
        }
        matches.rank(keywords);
        matches
    }

    /// The files, best first.
    pub(super) fn best(&self) -> Vec<(&str, &Found)> {
        let mut files: Vec<(&str, &Found)> =
            self.files.iter().filter(|(_, file)| file.score > 0.0).map(|(path, file)| (path.as_str(), file)).collect();
        files.sort_by(|(one_path, one), (other_path, other)| {
            other.score.total_cmp(&one.score).then(one_path.cmp(other_path))
        });
        files
    }

    fn rank(&mut self, keywords: &[Keyword]) {
        for file in self.files.values_mut() {
            for (number, word) in keywords.iter().enumerate() {
                if file.lines.values().any(|line| holds(line, word)) {
                    file.words.push(number);
                }
            }
            file.words.sort_unstable();
            file.words.dedup();
            for &word in &file.words {
                self.spread[word] += 1;
            }
        }
        for (path, file) in &mut self.files {
            let lower = path.to_lowercase();
            let mut score = 0.0;
            for (number, word) in keywords.iter().enumerate() {
                let worth = worth(word, self.spread[number]);
                if file.words.contains(&number) {
                    score += worth;
                }
                if lower.contains(&word.text.to_lowercase()) {
                    score += worth;
                }
            }
            if let Some((_, fit)) = best_window(&file.lines, keywords, &self.spread) {
                score += fit;
            }
            if MINOR_PATHS.iter().any(|minor| lower.contains(minor)) {
                score *= 0.1;
            } else if LATER_PATHS.iter().any(|later| lower.contains(later)) {
                score *= 0.6;
            }
            file.score = score;
        }
    }

    /// The first line of the passage of a file that fits best; the first of the file where no line is known.
    pub(super) fn passage(&self, file: &Found, keywords: &[Keyword]) -> u64 {
        let line = best_window(&file.lines, keywords, &self.spread).map_or(1, |(line, _)| line);
        line.saturating_sub(LINES_BEFORE).max(1)
    }
}

/// A word says the more, the fewer files have it.
fn worth(word: &Keyword, spread: usize) -> f64 {
    word.weight / (1.0 + (spread.max(1) as f64).ln())
}

fn holds(line: &str, word: &Keyword) -> bool {
    line.to_lowercase().contains(&word.text.to_lowercase())
}

fn is_definition(line: &str) -> bool {
    let mut line = line.trim_start();
    for before in [
        "export ",
        "default ",
        "pub(crate) ",
        "pub(super) ",
        "pub ",
        "async ",
        "unsafe ",
        "public ",
        "private ",
        "static ",
    ] {
        line = line.strip_prefix(before).unwrap_or(line);
    }
    DEFINITIONS.iter().any(|definition| line.starts_with(definition))
}

/// How much a hit on this line says: words for people much, imports and checks little.
fn quality(line: &str) -> f64 {
    let line = line.trim_start();
    let begins = |with: &[&str]| with.iter().any(|with| line.starts_with(with));
    if begins(&["use ", "pub use ", "import ", "from ", "#include", "require", "mod ", "pub mod "]) {
        0.2
    } else if line.contains("assert") || line.starts_with("#[") {
        0.4
    } else if begins(&["//!", "///", "\"\"\"", "/**", "* ", "- ", "#"]) {
        1.4
    } else {
        1.0
    }
}

/// The line where the passage with most of the words begins, and how well it fits.
fn best_window(lines: &BTreeMap<u64, String>, keywords: &[Keyword], spread: &[usize]) -> Option<(u64, f64)> {
    let mut best: Option<(u64, f64)> = None;
    for (&start, first) in lines {
        let within = lines.range(start..start + PASSAGE_LINES - LINES_BEFORE);
        let mut fit = 0.0;
        for (number, word) in keywords.iter().enumerate() {
            let hits = within.clone().filter(|(_, line)| holds(line, word));
            let (count, best) = hits.fold((0usize, 0.0f64), |(n, best), (_, line)| (n + 1, best.max(quality(line))));
            if count > 0 {
                fit += worth(word, spread[number]) * (best + 0.1 * (count.min(5) - 1) as f64);
            }
        }
        let on_first = keywords.iter().enumerate().filter(|(_, word)| holds(first, word));
        let on_first: f64 = on_first.map(|(number, word)| worth(word, spread[number])).sum();
        fit += on_first * quality(first) * if is_definition(first) { 1.0 } else { 0.3 };
        if best.is_none_or(|(_, known)| fit > known + 1e-9) {
            best = Some((start, fit));
        }
    }
    best
}

/// A regular expression for exactly this text.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The paths of a listing; remarks of the tools stand in brackets.
pub(super) fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('['))
}

/// A line of `grep`: path, number and text. Where one file was searched, its path may be missing.
fn hit<'a>(line: &'a str, searched: Option<&'a str>) -> Option<(&'a str, u64, &'a str)> {
    if line.starts_with('[') {
        return None;
    }
    let mut from = 0;
    while let Some(colon) = line[from..].find(':').map(|at| from + at) {
        let rest = &line[colon + 1..];
        if let Some((number, text)) = rest.split_once(':')
            && let Ok(number) = number.parse()
            && colon > 0
        {
            return Some((&line[..colon], number, text));
        }
        from = colon + 1;
    }
    let (number, text) = line.split_once(':')?;
    Some((searched?, number.parse().ok()?, text))
}

/// The numbered lines of `read_file`.
pub(super) fn numbered(text: &str) -> Vec<(u64, &str)> {
    let line = |line: &'_ str| line.split_once('\t').and_then(|(number, _)| number.trim().parse().ok());
    text.lines().filter_map(|whole| Some((line(whole)?, whole.split_once('\t')?.1))).collect()
}
