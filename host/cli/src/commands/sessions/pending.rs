//! `sessions pending`: what waits for a person.
//!
//! Promise: looking never writes; each thing comes with its id, what the answer binds to, and what can be answered.

use crate::commands::{print_json, print_text};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::paint::{lines, one_line};
use crate::run::{Waiting, letter};
use crate::wiring::Wiring;
use harness_core::SessionId;
use harness_engine::ports::{SessionFilter, SessionStatus};
use serde_json::{Value, json};

/// Sessions looked through.
const SESSIONS_MAX: usize = 1_000;
/// A choice is shown up to this many characters.
const CHOICE_CHARS_MAX: usize = 200;
/// Lines of a plan or a diff that are shown.
const LINES_MAX: usize = 40;

/// Lists it: of one session, or of all.
pub(super) async fn list(wiring: &Wiring, only: Option<SessionId>, json: bool) -> Result<Exit, Failure> {
    let ports = wiring.host.ports();
    let sessions = match only {
        Some(id) => vec![id],
        None => {
            let status = Some(SessionStatus::NeedsAnswer);
            let filter = SessionFilter { status, sessions_max: SESSIONS_MAX, ..SessionFilter::default() };
            let found = ports.index.list(filter).await.map_err(|error| Failure::because("listing", &error))?;
            found.into_iter().map(|summary| summary.session).collect()
        }
    };
    let (mut all, mut text, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    for id in sessions {
        // One that cannot be read hides nothing of the others.
        let waiting = match wiring.host.load(id).await {
            Ok(loaded) => Waiting::of(&loaded.state, ports.blobs.as_ref()).await,
            Err(error) => Err(Failure::because("reading the session", &error)),
        };
        let waiting = match waiting {
            Ok(waiting) => waiting,
            Err(failure) => {
                unread.push(format!("{id}: {}", failure.message));
                continue;
            }
        };
        all.extend(for_programs(id, &waiting));
        text.extend(for_people(id, &waiting));
    }
    let printed = match (json, text.is_empty()) {
        (true, _) => print_json(&all),
        (false, true) if unread.is_empty() => print_text("nothing waits for an answer"),
        (false, true) => Ok(Exit::Done),
        (false, false) => print_text(&text.join("\n")),
    };
    if unread.is_empty() { printed } else { Err(Failure::failed(unread.join("\n"))) }
}

pub(super) fn for_programs(id: SessionId, waiting: &Waiting) -> Vec<Value> {
    let mut all = waiting.for_programs();
    for (value, shown) in all.iter_mut().zip(&waiting.approvals) {
        let offers = shown.asked.offers.iter();
        let offer = |offer: &harness_core::state::Offer| json!({ "words": offer.words, "answer": offer.answer });
        value["offers"] = offers.map(offer).collect();
        value["can_edit"] = json!(shown.asked.can_edit);
    }
    for value in &mut all {
        value["session"] = json!(id);
    }
    all
}

pub(super) fn for_people(id: SessionId, waiting: &Waiting) -> Vec<String> {
    let mut text = Vec::new();
    let ids = waiting.ids();
    for (line, waits) in waiting.in_lines().iter().zip(&ids) {
        text.push(format!("{id}  {waits}\n  {line}"));
        if let Some(shown) = waiting.approvals.iter().find(|shown| shown.approval.to_string() == *waits) {
            text.push(format!("  binds to {}", shown.binds_to));
            let offers = shown.asked.offers.iter();
            text.extend(offers.map(|it| format!("  [{}] {}", letter(it.kind), one_line(&it.words, 200))));
            text.extend(marked(&shown.asked.diff));
        }
        // What has commas of its own is told apart, and has the number by which it can be answered.
        if let Some(asked) = waiting.questions.iter().find(|asked| asked.question.to_string() == *waits) {
            let choices = (1..).zip(&asked.choices);
            text.extend(
                choices.map(|(number, choice)| format!("  | {number}  {}", one_line(choice, CHOICE_CHARS_MAX))),
            );
        }
        if let Some(plan) = waiting.plans.iter().find(|plan| plan.plan.to_string() == *waits) {
            text.extend(marked(&plan.text));
        }
    }
    text
}

/// The first lines of foreign text, marked as that.
fn marked(text: &str) -> Vec<String> {
    let mut shown: Vec<String> = text.lines().take(LINES_MAX).map(|line| format!("  | {}", lines(line))).collect();
    let all = text.lines().count();
    if all > shown.len() {
        shown.push(format!("  … CUT: {all} lines in all; --json has them"));
    }
    shown
}
