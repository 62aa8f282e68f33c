//! What a run shows: words for people, or one JSON event per line.
//!
//! Promise: the final answer goes to standard output and everything else to standard error, unless a
//! person reads both; with `--json` standard output holds nothing but events and one `run_ended`.

mod steering;

use super::receipt::Receipt;
use crate::commands::component::request_line;
use crate::exit::Exit;
use crate::paint::{Paint, err_line, lines, one_line, out};
use harness_config::Color;
use harness_core::event::{Answer, Event};
use harness_core::item::AssistantPart;
use harness_core::record::CallRecord;
use harness_core::{CallId, Grant, GrantId, MessageId, ModelRef, Outcome, SessionId, Usage};
use harness_engine::LoggedEvent;
use harness_engine::ports::{CallProgress, ModelDelta};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::IsTerminal;
use std::path::Path;

/// A path is shown up to this many characters.
const PATH_CHARS_MAX: usize = 4_096;
/// Arguments of a call are shown up to this many characters.
const ARGUMENT_CHARS_MAX: usize = 160;
/// The first line of a failed result is shown up to this many characters.
const RESULT_CHARS_MAX: usize = 200;

/// What a run shows.
pub(crate) struct Screen {
    json: bool,
    /// A person goes on by what they type.
    in_conversation: bool,
    /// A person reads standard output: words are streamed to it.
    live: bool,
    paint: Paint,
    session: Option<SessionId>,
    key_place: Option<String>,
    /// Bytes of the response under way that were written.
    streamed_bytes: u64,
    answer: String,
    reason: Option<String>,
    structured: Option<Value>,
    pending: Vec<Value>,
    usage: Usage,
    steps: u32,
    /// The limit that ended the run: its name, its value, the command that raises it.
    limit: Option<(String, u64, Option<String>)>,
    /// The mode in force.
    mode: String,
    /// What was said and is not delivered yet, in words.
    messages: HashMap<MessageId, String>,
    /// How many of these there are where the run ended.
    messages_waiting: usize,
    /// What became of what the run gave to its session.
    receipt: Option<Value>,
    /// Calls whose changes the person saw when asked.
    shown: HashSet<CallId>,
    /// The tool of each call.
    tools: HashMap<CallId, String>,
    /// The component of each tool.
    components: HashMap<String, String>,
    /// What is granted, in words.
    grants: HashMap<GrantId, String>,
}

impl Screen {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            in_conversation: false,
            live: !json && std::io::stdout().is_terminal(),
            paint: Paint::new(Color::Never, &std::io::stderr()),
            session: None,
            key_place: None,
            streamed_bytes: 0,
            answer: String::new(),
            reason: None,
            structured: None,
            pending: Vec::new(),
            usage: Usage::default(),
            steps: 0,
            limit: None,
            mode: String::new(),
            messages: HashMap::new(),
            messages_waiting: 0,
            receipt: None,
            shown: HashSet::new(),
            tools: HashMap::new(),
            components: HashMap::new(),
            grants: HashMap::new(),
        }
    }

    /// From now on a person goes on by what they type.
    pub(crate) fn begin_conversation(&mut self) {
        self.in_conversation = true;
    }

    /// Whether a person goes on by what they type, and not by another command.
    pub(crate) fn is_in_conversation(&self) -> bool {
        self.in_conversation
    }

    pub(crate) fn set_color(&mut self, color: Color) {
        self.paint = Paint::new(color, &std::io::stderr());
    }

    /// Which component offers which tool: its name is in the command that gives a grant. `granted` is what the run
    /// begins with: what differs from it later is shown.
    pub(crate) fn set_components(&mut self, components: HashMap<String, String>, granted: &[Grant]) {
        self.components = components;
        self.grants = granted.iter().map(|grant| (grant.id(), grant_words(grant))).collect();
    }

    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// The words of the last answer.
    pub(crate) fn answer(&self) -> &str {
        &self.answer
    }

    /// The last answer fits the schema: this is what is printed.
    pub(crate) fn structured_answer(&mut self, answer: Value) {
        self.structured = Some(answer);
    }

    /// What waits for an answer that nobody here can give.
    pub(crate) fn pending(&mut self, pending: Vec<Value>) {
        self.pending = pending;
    }

    /// Words for the person beside the conversation.
    pub(crate) fn note(&self, words: &str) {
        if !self.json {
            err_line(&self.paint.dim(&lines(words)));
        }
    }

    /// The session that the run is about.
    pub(crate) fn session_id(&self) -> Option<SessionId> {
        self.session
    }

    /// The command that goes on with this session.
    pub(crate) fn resume(&self) -> String {
        let session = self.session.map_or_else(|| "--continue".to_owned(), |id| format!("--session {id}"));
        format!("harness-host run {session}")
    }

    /// Why the run ends as it does.
    pub(crate) fn reason(&mut self, words: &str) {
        if !self.json {
            err_line(&self.paint.bad(&lines(words)));
        }
        self.reason = Some(match self.reason.take() {
            Some(before) => format!("{before}\n{words}"),
            None => words.to_owned(),
        });
    }

    /// The run is about this session; `key_place` says where its provider's key is.
    pub(crate) fn session(
        &mut self,
        session: SessionId,
        model: &ModelRef,
        mode: &str,
        workspace: &Path,
        key_place: Option<String>,
    ) {
        self.session = Some(session);
        self.key_place = key_place;
        mode.clone_into(&mut self.mode);
        let workspace = one_line(&workspace.display().to_string(), PATH_CHARS_MAX);
        self.note(&format!("session {session} · {model} · mode {mode} · {workspace}"));
    }

    /// What became of what the run gave to its session.
    pub(crate) fn receipt(&mut self, receipt: &Receipt) {
        self.receipt = Some(receipt.for_programs());
    }

    /// Whether a program reads standard output.
    pub(crate) const fn is_for_programs(&self) -> bool {
        self.json
    }

    /// The mode in force.
    pub(crate) fn mode(&self) -> &str {
        &self.mode
    }

    /// A limit ends the run; `raise` is the command that raises it and goes on.
    pub(crate) fn limit(&mut self, limit: &str, maximum: u64, raise: Option<String>) {
        self.limit = Some((limit.to_owned(), maximum, raise));
    }

    /// Where the key of the session's provider is, if it has one.
    pub(crate) fn key_place(&self) -> Option<String> {
        self.key_place.clone()
    }

    /// The person is about to see this call's changes.
    pub(crate) fn asking(&mut self, call: CallId) {
        self.shown.insert(call);
    }

    /// Whether a call's changes were not shown yet.
    pub(crate) fn wants_diff(&self, call: CallId) -> bool {
        !self.json && !self.shown.contains(&call)
    }

    /// Shows what a call changed.
    pub(crate) fn diff(&self, diff: &str) {
        err_line(self.paint.diff(diff).trim_end_matches('\n'));
    }

    /// A piece of the response under way.
    pub(crate) fn delta(&mut self, offset_bytes: u64, delta: &ModelDelta) {
        if !self.live {
            return;
        }
        match delta {
            // A piece that was missed is printed with the whole response.
            ModelDelta::Text { text } if offset_bytes == self.streamed_bytes => {
                self.streamed_bytes += text.len() as u64;
                out(&lines(text));
            }
            ModelDelta::Text { .. }
            | ModelDelta::Reasoning { .. }
            | ModelDelta::ToolCall { .. }
            | ModelDelta::ToolArguments { .. } => {}
        }
    }

    /// How far a call has come, in its component's words.
    pub(crate) fn progress(&self, call: CallId, progress: &CallProgress) {
        let tool = self.tools.get(&call).map_or("", String::as_str);
        let done = progress.done_permille.map(|done| format!(" ({} %)", done / 10)).unwrap_or_default();
        self.line(&self.paint.dim(&format!("  … {}: {}{done}", one_line(tool, 64), one_line(&progress.words, 120))));
    }

    /// A durable event.
    pub(crate) fn event(&mut self, logged: &LoggedEvent) {
        if self.json {
            print_json_line(logged);
        }
        let Some(event) = &logged.event else { return };
        match event {
            Event::ModelRequested { .. } => self.streamed_bytes = 0,
            Event::ModelResponded { parts, .. } => self.responded(parts),
            Event::CallRequested { call, tool, arguments, .. } => {
                self.tools.insert(*call, tool.clone());
                let shown = crate::paint::arguments(arguments, ARGUMENT_CHARS_MAX);
                self.line(&format!("• {} {}", self.paint.bold(&one_line(tool, 64)), self.paint.dim(&shown)));
            }
            Event::CallReported { call, outcome, record, .. } => self.reported(*call, outcome, record),
            Event::CallEnded { outcome, text, is_error, changes, .. } => {
                self.ended(outcome, text.as_deref(), *is_error, changes.entries().len());
            }
            Event::GrantGiven { grant } => self.granted(grant),
            Event::GrantRevoked { grant } => {
                if let Some(words) = self.grants.remove(grant) {
                    self.line(&self.paint.dim(&format!("  taken back from {words}")));
                }
            }
            Event::ModelFailed { failure, .. } => {
                self.line(&format!("  {}", self.paint.bad(&one_line(&failure.message, RESULT_CHARS_MAX))));
            }
            Event::RetryScheduled { attempt, delay_ms, asked_by_provider } => {
                let by = if *asked_by_provider { ", as the provider asks" } else { "" };
                let seconds = *delay_ms as f64 / 1000.0;
                self.line(&self.paint.dim(&format!("  attempt {attempt} in {seconds:.1} s{by}")));
            }
            Event::ApprovalAnswered { answer: Answer::No { .. }, .. } => self.line(&self.paint.bad("  refused")),
            Event::TurnEnded { usage, steps, .. } => self.turn_ended(*usage, *steps),
            other => self.steering(other),
        }
    }

    /// What the run did not begin with is shown.
    fn granted(&mut self, grant: &Grant) {
        let words = grant_words(grant);
        if self.grants.insert(grant.id(), words.clone()).is_none() {
            self.line(&self.paint.dim(&format!("  granted to {words}")));
        }
    }

    /// What a call did beside its files, and why it did not end well.
    fn reported(&self, call: CallId, outcome: &Outcome, record: &CallRecord) {
        for request in &record.requests {
            self.line(&self.paint.dim(&format!("  {}", request_line(request))));
        }
        let component = self.tools.get(&call).and_then(|tool| self.components.get(tool));
        let component = component.map_or("NAME", String::as_str);
        let missing = match outcome {
            Outcome::NotGranted { capability, .. } => Some(capability.as_ref()),
            _ => None,
        };
        for capability in record.refused.iter().filter(|it| Some(*it) != missing) {
            let give = format!("harness-host component grant {component} '{capability}'");
            self.line(&format!(
                "  {}",
                self.paint.bad(&lines(&format!("not granted: {capability}; to give it: {give}")))
            ));
        }
        let text = || outcome.model_text(&[]);
        match outcome {
            outcome if outcome.is_success() => {}
            // Somebody is asked, or another tool is called, and it goes on.
            Outcome::NeedsInput { .. } | Outcome::NeedsCall { .. } => {}
            // The command in it is what the person needs: it is not cut.
            Outcome::NotGranted { .. } => self.line(&format!("  {}", self.paint.bad(&lines(&text())))),
            _ => self.line(&format!("  {}", self.paint.bad(&one_line(&text(), RESULT_CHARS_MAX)))),
        }
    }

    fn line(&self, text: &str) {
        if !self.json {
            err_line(text);
        }
    }

    fn responded(&mut self, parts: &[AssistantPart]) {
        let texts = parts.iter().filter_map(|part| match part {
            AssistantPart::Text { text } => Some(text.as_str()),
            AssistantPart::Reasoning { .. } | AssistantPart::ToolCall { .. } => None,
        });
        let text: String = texts.collect();
        if self.live && !text.is_empty() {
            let rest = text.get(self.streamed_bytes as usize..).unwrap_or(&text);
            out(&format!("{}\n", lines(rest)));
        } else if !text.is_empty() && parts.iter().any(|part| matches!(part, AssistantPart::ToolCall { .. })) {
            self.line(&lines(&text));
        }
        self.answer = text;
    }

    fn ended(&self, outcome: &str, text: Option<&str>, is_error: bool, changed: usize) {
        match (is_error, text) {
            (true, Some(text)) => self.line(&format!("  {}", self.paint.bad(&one_line(text, RESULT_CHARS_MAX)))),
            (true, None) => {}
            (false, _) if changed > 0 => {
                let paths = if changed == 1 { "path" } else { "paths" };
                self.line(&format!("  {}", self.paint.good(&format!("{outcome}, {changed} {paths} changed"))));
            }
            (false, _) => {}
        }
    }

    fn turn_ended(&mut self, usage: Usage, steps: u32) {
        self.usage = self.usage.plus(usage);
        self.steps = self.steps.saturating_add(steps);
        let plural = if steps == 1 { "step" } else { "steps" };
        let mut words = format!("{steps} {plural}");
        if usage.input_tokens.saturating_add(usage.output_tokens) > 0 {
            let percent = u128::from(usage.cached_input_tokens) * 100 / u128::from(usage.input_tokens.max(1));
            words.push_str(&format!(
                " · {} tokens in ({percent} % cached), {} out",
                usage.input_tokens, usage.output_tokens
            ));
        }
        if let Some(cost) = usage.cost_micro_usd {
            words.push_str(&format!(" · ${:.4}", cost as f64 / 1e6));
        }
        self.note(&words);
    }

    /// The run is over.
    pub(crate) fn run_ended(&mut self, exit: Exit, failure: Option<&str>) {
        let answer = self.structured.as_ref().map_or_else(|| self.answer.clone(), Value::to_string);
        if self.json {
            let reason = failure.map(str::to_owned).or_else(|| self.reason.clone());
            let mut line = json!({
                "kind": "run_ended",
                "result": exit.word(),
                "exit_code": exit.code(),
                "session": self.session,
                "answer": answer,
                "structured": self.structured,
                "reason": reason,
                "pending": self.pending,
                "limit": self.limit.as_ref().map(|(name, maximum, raise)| {
                    json!({ "name": name, "maximum": maximum, "raise": raise })
                }),
                "mode": self.mode,
                "messages_waiting": self.messages_waiting,
                "steps": self.steps,
                "usage": self.usage,
            });
            if let Some(receipt) = &self.receipt {
                line["receipt"] = receipt.clone();
                line["session"] = receipt["session"].clone();
            }
            print_json_line(&line);
        } else if exit == Exit::Done && (!self.live || self.structured.is_some()) && !answer.is_empty() {
            // A pipe gets the answer as it is; a person has seen it stream by.
            out(&format!("{}\n", if self.live { lines(&answer) } else { answer }));
        }
    }
}

fn grant_words(grant: &Grant) -> String {
    one_line(&format!("{}: {}", grant.component, grant.capability), ARGUMENT_CHARS_MAX)
}

fn print_json_line(value: &impl serde::Serialize) {
    if let Ok(line) = serde_json::to_string(value) {
        out(&format!("{line}\n"));
    }
}
