//! Asking a person on the terminal whether something may happen.
//!
//! Promise: the host's words come first, then exactly what would be applied, then the guest's or
//! model's words, cleaned and cut; no answer is taken for a yes.

use crate::failure::Failure;
use crate::paint::{Paint, err_line, one_line};
use harness_core::CallId;
use harness_core::event::Answer;
use reedline::{DefaultPrompt, DefaultPromptSegment, Reedline, Signal};

/// Arguments are shown up to this many characters.
const ARGUMENT_CHARS_MAX: usize = 400;
/// Words of a rule are shown up to this many characters: they may hold a path that a model chose.
const WORD_CHARS_MAX: usize = 400;

/// What is asked.
pub(crate) struct Asked {
    pub(crate) call: CallId,
    pub(crate) tool: String,
    pub(crate) arguments: String,
    pub(crate) rule: String,
    pub(crate) words: String,
    pub(crate) diff: String,
}

impl Asked {
    /// For those who cannot answer now.
    pub(crate) fn in_one_line(&self) -> String {
        let paths = self
            .diff
            .lines()
            .filter(|line| ["created ", "modified ", "deleted "].iter().any(|word| line.starts_with(word)));
        let paths: Vec<&str> = paths.take(5).collect();
        let what = if paths.is_empty() { one_line(&self.arguments, 200) } else { paths.join(", ") };
        format!(
            "rule {} asks about {}: {what} ({})",
            one_line(&self.rule, WORD_CHARS_MAX),
            one_line(&self.tool, 64),
            one_line(&self.words, WORD_CHARS_MAX)
        )
    }
}

/// A person at a terminal.
pub(crate) struct TerminalAsker {
    paint: Paint,
}

impl TerminalAsker {
    pub(crate) fn new(paint: Paint) -> Self {
        Self { paint }
    }

    /// The answer; none if the person wants the turn stopped.
    pub(crate) async fn ask(&mut self, asked: &Asked) -> Result<Option<Answer>, Failure> {
        self.show(asked);
        loop {
            let line = read_line("allow? [y]es, [n]o, n REASON, [t] always for this tool in this session").await?;
            let Some(line) = line else { return Ok(None) };
            match parse(&line) {
                Some(answer) => return Ok(Some(answer)),
                None => err_line("  please answer y, n, n and a reason, or t; Ctrl-C stops the turn"),
            }
        }
    }

    fn show(&self, asked: &Asked) {
        let paint = self.paint;
        err_line(&paint.ask(&format!("? {} — {}", one_line(&asked.tool, 64), one_line(&asked.words, WORD_CHARS_MAX))));
        err_line(&paint.dim(&format!("  asked by rule {}", one_line(&asked.rule, WORD_CHARS_MAX))));
        if asked.diff.is_empty() {
            err_line(&format!("  {}", one_line(&asked.arguments, ARGUMENT_CHARS_MAX)));
        } else {
            err_line(paint.diff(&asked.diff).trim_end_matches('\n'));
        }
    }
}

/// Only what says so is a yes.
fn parse(line: &str) -> Option<Answer> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match word.to_ascii_lowercase().as_str() {
        "y" | "yes" if rest.is_empty() => Some(Answer::Yes),
        "t" | "tool" | "always" if rest.is_empty() => Some(Answer::YesForTool),
        "n" | "no" => Some(Answer::No { reason: rest.trim().to_owned() }),
        _ => None,
    }
}

/// One line from the terminal; none for Ctrl-C or Ctrl-D.
async fn read_line(question: &'static str) -> Result<Option<String>, Failure> {
    let read = tokio::task::spawn_blocking(move || {
        let prompt = DefaultPrompt::new(DefaultPromptSegment::Basic(question.to_owned()), DefaultPromptSegment::Empty);
        Reedline::create().read_line(&prompt)
    });
    match read.await.map_err(|error| Failure::because("asking", &error))? {
        Ok(Signal::Success(line)) => Ok(Some(line)),
        Ok(_) => Ok(None),
        Err(error) => Err(Failure::because("reading from the terminal", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        assert_eq!(parse(" y "), Some(Answer::Yes));
        assert_eq!(parse("YES"), Some(Answer::Yes));
        assert_eq!(parse("t"), Some(Answer::YesForTool));
        assert_eq!(parse("n use tabs"), Some(Answer::No { reason: "use tabs".into() }));
        assert_eq!(parse("no"), Some(Answer::No { reason: String::new() }));
        for unclear in ["", "yes but", "ok", "yep", "all"] {
            assert_eq!(parse(unclear), None, "{unclear}");
        }
    }
}
