//! Prompts that say what to call, line by line.

use super::turn::Turn;
use super::{FIRST_WORDS, Next, cut, fenced};
use serde_json::{Value, json};

/// Lines quoted of one result.
const QUOTED_LINES_MAX: usize = 12;
/// Bytes quoted of one result.
const QUOTED_BYTES_MAX: usize = 1_000;
/// Bytes shown of a line of the script.
const LINE_BYTES_MAX: usize = 120;
/// Calls of one script at most.
const CALLS_MAX: usize = 10_000;

/// One call of a script.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    tool: String,
    /// A JSON value, or a string where it was no JSON.
    arguments: Value,
    /// As it stands in the prompt.
    line: String,
}

/// A script.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Script {
    calls: Vec<Call>,
    answer: Option<String>,
}

impl Script {
    /// Reads a prompt; none if no line of it is one of a script.
    pub(super) fn parse(prompt: &str) -> Option<Self> {
        let lines = || prompt.lines().map(str::trim).filter(|line| !line.is_empty());
        let calls: Vec<Call> = lines().filter_map(call).take(CALLS_MAX).collect();
        let answer =
            lines().next_back().and_then(|line| line.strip_prefix("ANSWER ")).map(|text| text.trim().to_owned());
        (!calls.is_empty() || answer.is_some()).then_some(Self { calls, answer })
    }

    /// The call whose turn it is, or what came of them all.
    pub(super) fn next(&self, turn: &Turn<'_>) -> Next {
        if let Some(failed) = turn.done.iter().position(|done| done.is_error) {
            return Next::Say(self.failed(turn, failed));
        }
        match self.calls.get(turn.done.len()) {
            Some(call) if call.tool == "shell" && call.line.starts_with('$') && !turn.offers("shell") => {
                let tools = turn.tools();
                let ran = self.quoted(turn, turn.done.len());
                let line = cut(&call.line, 1, LINE_BYTES_MAX);
                Next::Say(format!(
                    "{FIRST_WORDS} your script says `{line}`, but there is no shell tool here; the tools are: {tools}.{ran}"
                ))
            }
            Some(call) => Next::Calls(vec![(call.tool.clone(), call.arguments.clone())]),
            None => Next::Say(match &self.answer {
                Some(answer) => answer.clone(),
                None => {
                    let count = if turn.done.len() == 1 {
                        "the one call".to_owned()
                    } else {
                        format!("the {} calls", turn.done.len())
                    };
                    format!(
                        "{FIRST_WORDS} I made {count} of your script, and none failed.{}",
                        self.quoted(turn, turn.done.len())
                    )
                }
            }),
        }
    }

    fn failed(&self, turn: &Turn<'_>, at: usize) -> String {
        let left = self.calls.len().saturating_sub(at + 1);
        let rest = match left {
            0 => String::new(),
            1 => " The call after it was not made.".to_owned(),
            _ => format!(" The {left} calls after it were not made."),
        };
        let line =
            self.calls.get(at).map_or_else(|| turn.done[at].tool.to_owned(), |call| cut(&call.line, 1, LINE_BYTES_MAX));
        let text = fenced(&cut(turn.done[at].text, QUOTED_LINES_MAX, QUOTED_BYTES_MAX));
        let before = if at > 0 { format!("\n\nBefore it:{}", self.quoted(turn, at)) } else { String::new() };
        format!("{FIRST_WORDS} call {} of your script failed, so I stopped.{rest}\n\n`{line}`\n{text}{before}", at + 1)
    }

    /// The first results, quoted.
    fn quoted(&self, turn: &Turn<'_>, count: usize) -> String {
        let mut text = String::new();
        for (number, done) in turn.done.iter().take(count).enumerate() {
            let line =
                self.calls.get(number).map_or_else(|| done.tool.to_owned(), |call| cut(&call.line, 1, LINE_BYTES_MAX));
            let quoted = fenced(&cut(done.text, QUOTED_LINES_MAX, QUOTED_BYTES_MAX));
            text.push_str(&format!("\n\n{}. `{line}`\n{quoted}", number + 1));
        }
        text
    }
}

/// The call that a line asks for.
fn call(line: &str) -> Option<Call> {
    if let Some(command) = line.strip_prefix("$ ") {
        let arguments = json!({ "command": command.trim() });
        return Some(Call { tool: "shell".to_owned(), arguments, line: line.to_owned() });
    }
    let rest = line.strip_prefix("TOOL ")?.trim();
    if rest.starts_with('{') {
        let mut object: Value = serde_json::from_str(rest).ok()?;
        let tool = object.get("name")?.as_str()?.to_owned();
        let arguments = object.get_mut("arguments").map_or_else(|| json!({}), Value::take);
        return Some(Call { tool, arguments, line: line.to_owned() });
    }
    let (tool, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, "{}"));
    let arguments =
        serde_json::from_str(arguments.trim()).unwrap_or_else(|_| Value::String(arguments.trim().to_owned()));
    (!tool.is_empty()).then(|| Call { tool: tool.to_owned(), arguments, line: line.to_owned() })
}
