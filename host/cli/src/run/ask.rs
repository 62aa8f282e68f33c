//! Asking a person on the terminal whether something may happen.
//!
//! Promise: the host's words come first, then exactly what would be applied or, before a call runs, all of its
//! arguments, then the guest's or model's words, cleaned and cut, which is said; only a clear yes is one.

use super::answers::{Said, chosen, letter, parse, pattern_of};
use super::waiting::who_asks;
use crate::failure::Failure;
use crate::paint::{Paint, err_line, lines, one_line, subject_arguments, whole_arguments};
use harness_core::event::{Answer, AnswerCoverage};
use harness_core::state::Offer;
use harness_core::{CallId, TimeMs};
use reedline::{DefaultPrompt, DefaultPromptSegment, EditCommand, Reedline, Signal};
use std::io::Read;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments are shown whole up to this many bytes.
const ARGUMENTS_BYTES_MAX: usize = 4 << 10;
/// Words of a rule are shown up to this many characters: they may hold a path that a model chose.
const WORD_CHARS_MAX: usize = 400;
/// A component's question is shown up to this many characters.
const QUESTION_CHARS_MAX: usize = 1_000;
/// One of its choices is shown up to this many characters.
const CHOICE_CHARS_MAX: usize = 200;
/// Edited arguments are read up to this many bytes: one more than a call may have, so that they are refused and not cut.
const EDITED_BYTES_MAX: u64 = harness_core::limits::ARGUMENT_BYTES_MAX as u64 + 1;
/// How far an answer for later calls holds.
const LATER: &str =
    "  x, p, t and c hold for this session; after the letter: turn, workspace, agent or global, and 30m, 2h or 7d";

/// Ends the asking of a person from elsewhere: what is asked does not wait any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hush(Arc<AtomicBool>);

impl Hush {
    /// Ends it.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Has what follows go on undisturbed.
    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// What a line editor looks at.
    pub(super) fn signal(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// What is asked.
pub(crate) struct Asked {
    pub(crate) call: CallId,
    pub(crate) tool: String,
    /// The component that offers the tool; empty for other hands.
    pub(crate) component: String,
    pub(crate) arguments: String,
    pub(crate) rule: String,
    pub(crate) words: String,
    pub(crate) diff: String,
    /// What can be answered besides no.
    pub(crate) offers: Vec<Offer>,
    /// Whether it can be answered with other arguments.
    pub(crate) can_edit: bool,
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
    pub(crate) async fn ask(
        &mut self,
        asked: &Asked,
        now: impl Fn() -> TimeMs,
        hush: &Hush,
    ) -> Result<Option<Answer>, Failure> {
        self.show(asked);
        let edit = if asked.can_edit { ", [e]dit" } else { "" };
        let letters: Vec<&str> = asked.offers.iter().skip(1).map(|offer| letter(offer.kind)).collect();
        let later = if letters.is_empty() { String::new() } else { format!(", {} for later calls", letters.join("/")) };
        let question = format!("allow? [y]es, [n]o, n REASON{edit}{later}");
        loop {
            let Some(line) = read_line(&question, "", hush).await? else { return Ok(None) };
            let said = match parse(&line, &asked.offers, asked.can_edit, now()) {
                Ok(Said::Answer(answer)) => return Ok(Some(answer)),
                Ok(Said::Edit) => edited(&asked.arguments, hush).await?.map(|arguments| Answer::Edited { arguments }),
                Ok(Said::EditPattern(answer)) => edited_pattern(answer, hush).await?,
                Err(words) => {
                    err_line(&format!("  {}; Ctrl-C stops the turn", lines(&words)));
                    None
                }
            };
            if said.is_some() {
                return Ok(said);
            }
        }
    }

    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    fn show(&self, asked: &Asked) {
        let paint = self.paint;
        let component = one_line(&asked.component, 64);
        let of = if component.is_empty() { String::new() } else { format!("{component}: ") };
        let tool = one_line(&asked.tool, 64);
        err_line(&paint.ask(&format!("? {of}{tool} — {}", one_line(&asked.words, WORD_CHARS_MAX))));
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
        if asked.offers.len() > 1 {
            for offer in &asked.offers {
                let words = one_line(&offer.words, WORD_CHARS_MAX);
                err_line(&paint.dim(&format!("  [{}] {words}", letter(offer.kind))));
            }
            err_line(&paint.dim(LATER));
        }
    }
}

/// What a component, or the model, wants to know: who asks first, then the words, cleaned and cut. None if the person
/// declines, by an empty line or by leaving it.
pub(crate) async fn ask_question(
    component: &str,
    words: &str,
    choices: &[String],
    several: bool,
    hush: &Hush,
) -> Result<Option<String>, Failure> {
    err_line(&format!("? {} asks: {}", who_asks(component), one_line(words, QUESTION_CHARS_MAX)));
    for (number, choice) in (1..).zip(choices) {
        err_line(&format!("  {number}  {}", one_line(choice, CHOICE_CHARS_MAX)));
    }
    let prompt = match (choices.is_empty(), several) {
        (true, _) => "answer (empty: none)",
        (false, false) => "number or words (empty: none)",
        (false, true) => "numbers or words, with commas between (empty: none)",
    };
    loop {
        let Some(line) = read_line(prompt, "", hush).await? else { return Ok(None) };
        let line = line.trim();
        if line.is_empty() {
            return Ok(None);
        }
        match chosen(line, choices, several) {
            Some(answer) => return Ok(Some(answer)),
            None => err_line("  please answer with one of the choices, or with nothing to give no answer"),
        }
    }
}

/// The arguments as the person wants them, in the editor that the environment names or in a line; none if they stay.
async fn edited(arguments: &str, hush: &Hush) -> Result<Option<String>, Failure> {
    let editor = ["VISUAL", "EDITOR"].iter().filter_map(|name| std::env::var(name).ok());
    let Some(editor) = editor.into_iter().find(|editor| !editor.trim().is_empty()) else {
        let line = read_line("arguments", &visible_json(arguments), hush).await?;
        return Ok(line.filter(|line| *line != visible_json(arguments)));
    };
    let pretty = serde_json::from_str::<serde_json::Value>(arguments)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| arguments.to_owned());
    let edit = tokio::task::spawn_blocking(move || -> std::io::Result<Option<String>> {
        // Only its owner can read it.
        let file = tempfile::Builder::new().prefix("arguments-").suffix(".json").tempfile()?;
        std::fs::write(file.path(), &pretty)?;
        let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(file.path()).status()?;
        if !status.success() {
            return Ok(None);
        }
        let mut text = String::new();
        std::fs::File::open(file.path())?.take(EDITED_BYTES_MAX).read_to_string(&mut text)?;
        Ok((text.trim() != pretty.trim()).then(|| text.trim().to_owned()))
    });
    match edit.await.map_err(|error| Failure::because("editing", &error))? {
        Ok(None) => {
            err_line("  the arguments are as they were");
            Ok(None)
        }
        Ok(text) => Ok(text),
        Err(error) => {
            err_line(&format!("  they could not be edited: {error}"));
            Ok(None)
        }
    }
}

/// JSON on one line, without what could act on a terminal; it means the same.
fn visible_json(text: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(text).map(|value| value.to_string());
    let escaped = |c: char| if c.is_ascii() { c.to_string() } else { escape_utf16(c) };
    value.unwrap_or_else(|_| text.to_owned()).chars().filter(|c| !c.is_control()).map(escaped).collect()
}

/// A character as JSON escapes it (RFC 8259, 7).
fn escape_utf16(c: char) -> String {
    let mut units = [0; 2];
    c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// An answer with its pattern as the person wants it; none if it makes no sense or the person leaves it.
async fn edited_pattern(answer: Answer, hush: &Hush) -> Result<Option<Answer>, Failure> {
    let Answer::Allow { coverage: AnswerCoverage::Pattern { pattern }, scope, until } = answer else {
        return Ok(Some(answer));
    };
    let text = visible_json(&serde_json::to_string(&pattern).unwrap_or_default());
    let Some(line) = read_line("pattern", &text, hush).await? else { return Ok(None) };
    match pattern_of(line.trim()) {
        Ok(coverage) => Ok(Some(Answer::Allow { coverage, scope, until })),
        Err(words) => {
            err_line(&format!("  {}", lines(&words)));
            Ok(None)
        }
    }
}

/// One line from the terminal, which begins with what is given; none for Ctrl-C or Ctrl-D, and
/// where the asking was ended.
pub(crate) async fn read_line(question: &str, begin: &str, hush: &Hush) -> Result<Option<String>, Failure> {
    let (question, begin, signal) = (question.to_owned(), begin.to_owned(), hush.signal());
    let read = tokio::task::spawn_blocking(move || {
        let prompt = DefaultPrompt::new(DefaultPromptSegment::Basic(question), DefaultPromptSegment::Empty);
        let mut editor = Reedline::create().with_break_signal(signal);
        if !begin.is_empty() {
            editor.run_edit_commands(&[EditCommand::InsertString(begin)]);
        }
        editor.read_line(&prompt)
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
    fn arguments_in_a_line_mean_the_same_and_act_on_nothing() {
        let text = "{\"path\": \"\u{202e}é\u{1f600}\\u001b[2J\"}";
        let shown = visible_json(text);
        assert!(shown.is_ascii() && !shown.contains('\u{1b}'), "{shown}");
        let mean = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(mean(&shown), mean(text));
    }
}
