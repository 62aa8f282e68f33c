//! `sessions verify|replay`: whether a log says what happened.
//!
//! Promise: nothing is written; what is damaged or different is named by its event and fails the command; a call that is
//! run again runs over a copy of the workspace, and one that cannot be is listed with the reason.
//!
//! Not here: the chain, the fold, the core over recorded inputs (harness-engine).

use super::again;
use crate::commands::{counted, print_json, print_text};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::paint::{err_line, lines, one_line};
use crate::wiring::Wiring;
use harness_core::{Digest, SessionId};
use harness_engine::LoadError;
use harness_engine::replay::Replayed;
use serde_json::json;

/// An event that differs is shown up to so many characters.
const EVENT_CHARS_MAX: usize = 2_000;

/// Checks a whole log.
pub(super) async fn verify(wiring: &Wiring, id: SessionId, head: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let known = head.map(digest).transpose()?;
    let verified = wiring.host.verify_whole(id, known).await.map_err(damaged)?;
    let mut problems = Vec::new();
    if let (Some(known), None) = (known, verified.known_head_at) {
        problems.push(format!("the log was cut or written anew: {known} is not in it; it ends with {}", verified.head));
    }
    if !verified.contents_damaged.is_empty() {
        let names: Vec<String> = verified.contents_damaged.iter().map(Digest::to_string).collect();
        problems.push(format!("contents are damaged: {}", names.join(", ")));
    }
    if !verified.is_loaded_as_logged {
        problems.push("a checkpoint is not what the log says, or the log cannot be loaded".to_owned());
    }
    if json {
        print_json(&json!({ "session": id, "verified": verified, "problems": problems }))?;
    } else {
        let events = usize::try_from(verified.events).unwrap_or(usize::MAX);
        let contents = usize::try_from(verified.contents).unwrap_or(usize::MAX);
        let mut text =
            format!("{}, {}, head {}", counted(events, "event"), counted(contents, "content"), verified.head);
        if let Some(at) = verified.known_head_at {
            text.push_str(&format!("\nthe head that was asked about is event {at}"));
        }
        if let Some(first) = verified.erased.first() {
            text.push_str(&format!(
                "\n{} erased, the first is {first}: the fold ends before it",
                verified.erased.len()
            ));
        }
        print_text(&text)?;
    }
    if problems.is_empty() { Ok(Exit::Done) } else { Err(Failure::failed(problems.join("\n"))) }
}

fn digest(text: &str) -> Result<Digest, Failure> {
    let whole = if text.starts_with("sha256:") { text.to_owned() } else { format!("sha256:{text}") };
    whole.parse().map_err(|_| Failure::usage(format!("`{}` is no hash of a header", one_line(text, 80))))
}

/// What a log that cannot be believed is told with: the event that is wrong, not only the last good one.
fn damaged(error: LoadError) -> Failure {
    let event = match &error {
        LoadError::Damaged { after, .. } => Some(after.next()),
        LoadError::Inconsistent { sequence, .. } => Some(*sequence),
        _ => None,
    };
    let words = lines(&chain(&error));
    match event {
        Some(event) => Failure::failed(format!("event {event} is damaged: {words}")),
        None => Failure::failed(words),
    }
}

/// Feeds the inputs to the core again, and runs calls again where that is asked for.
pub(super) async fn replay(
    wiring: &Wiring,
    id: SessionId,
    execute: Option<again::Place<'_>>,
    json: bool,
) -> Result<Exit, Failure> {
    let replayed = wiring.host.replay(id).await.map_err(damaged)?;
    let calls = match execute {
        Some(place) if replayed.difference.is_none() => Some(again::run_all(wiring, id, place).await?),
        _ => None,
    };
    let differing = calls.iter().flatten().filter(|call| !call.differences.is_empty()).count();
    if json {
        print_json(&json!({ "session": id, "replayed": replayed, "calls": calls }))?;
    } else {
        print_text(&words(&replayed))?;
        for call in calls.iter().flatten() {
            print_text(&call.row())?;
        }
    }
    match (&replayed.difference, differing) {
        (Some(difference), _) => {
            Err(Failure::failed(format!("the core comes to something else at event {}", difference.at)))
        }
        (None, 0) => Ok(Exit::Done),
        (None, differing) => Err(Failure::failed(format!("{} came to something else", counted(differing, "call")))),
    }
}

fn words(replayed: &Replayed) -> String {
    let Replayed { inputs, events, core, other_cores, erased, difference } = replayed;
    let mut text = format!("{inputs} inputs gave the same {events} events again, by core version {core}");
    for (version, count) in other_cores {
        text.push_str(&format!("\n{count} of them were written by core version {version}"));
    }
    if let Some(erased) = erased {
        text.push_str(&format!("\nthe content of event {erased} was erased: what follows it cannot be replayed"));
    }
    let Some(difference) = difference else { return text };
    let shown =
        |side: &Option<String>| side.as_deref().map_or("nothing".to_owned(), |it| one_line(it, EVENT_CHARS_MAX));
    err_line(&format!("logged   {}", shown(&difference.logged)));
    err_line(&format!("replayed {}", shown(&difference.decided)));
    if let Some(refusal) = &difference.refusal {
        err_line(&format!("declined {}", lines(refusal)));
    }
    if difference.core != *core {
        err_line(&format!("it was written by core version {}: replay it with the host that wrote it", difference.core));
    }
    text
}
