//! Asking a person on the terminal whether something may happen.
//!
//! Promise: the host's words come first, then exactly what would be applied or, before a call runs, all of its
//! arguments, then the guest's or model's words, cleaned and cut, which is said; only a clear yes is one.

use crate::failure::Failure;
use crate::paint::{Paint, err_line, one_line, subject_arguments, whole_arguments};
use harness_core::CallId;
use harness_core::event::Answer;
use reedline::{DefaultPrompt, DefaultPromptSegment, Reedline, Signal};

/// Arguments are shown whole up to this many bytes.
const ARGUMENTS_BYTES_MAX: usize = 4 << 10;
/// Words of a rule are shown up to this many characters: they may hold a path that a model chose.
const WORD_CHARS_MAX: usize = 400;
/// A component's question is shown up to this many characters.
const QUESTION_CHARS_MAX: usize = 1_000;
/// One of its choices is shown up to this many characters.
const CHOICE_CHARS_MAX: usize = 200;

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
            err_line(&whole_arguments(&asked.arguments, ARGUMENTS_BYTES_MAX));
        } else {
            let about = subject_arguments(&asked.arguments, ARGUMENTS_BYTES_MAX);
            if !about.is_empty() {
                err_line(&about);
            }
            err_line(paint.diff(&asked.diff).trim_end_matches('\n'));
        }
    }
}

/// What a component wants to know: its name first, then its words, cleaned and cut. None if the person declines, by
/// an empty line or by leaving it.
pub(crate) async fn ask_question(component: &str, words: &str, choices: &[String]) -> Result<Option<String>, Failure> {
    err_line(&format!("? {} asks: {}", one_line(component, 64), one_line(words, QUESTION_CHARS_MAX)));
    for (number, choice) in (1..).zip(choices) {
        err_line(&format!("  {number}  {}", one_line(choice, CHOICE_CHARS_MAX)));
    }
    let prompt = if choices.is_empty() { "answer (empty: none)" } else { "number or words (empty: none)" };
    loop {
        let Some(line) = read_line(prompt).await? else { return Ok(None) };
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        match chosen(line, choices) {
            Some(answer) => return Ok(Some(answer)),
            None => err_line("  please answer with one of the choices, or with nothing to give no answer"),
        }
    }
}

/// The choice that a line means; any line where there are none.
fn chosen(line: &str, choices: &[String]) -> Option<String> {
    if choices.is_empty() {
        return Some(line.to_owned());
    }
    let numbered = line.parse::<usize>().ok().and_then(|number| choices.get(number.checked_sub(1)?));
    // A choice that looks like a number is meant by its words first.
    choices.iter().find(|choice| choice.as_str() == line).or(numbered).cloned()
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
    fn a_choice_is_meant_by_its_words_or_its_number() {
        let choices = ["red", "2", "green"].map(str::to_owned);
        assert_eq!(chosen("1", &choices).as_deref(), Some("red"));
        assert_eq!(chosen("2", &choices).as_deref(), Some("2"));
        assert_eq!(chosen("green", &choices).as_deref(), Some("green"));
        for unclear in ["0", "4", "blue", "-1"] {
            assert_eq!(chosen(unclear, &choices), None, "{unclear}");
        }
        assert_eq!(chosen("anything", &[]).as_deref(), Some("anything"));
    }

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
