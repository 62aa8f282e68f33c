//! `harness-host sessions`: looking at sessions, and what does not need a model.
//!
//! Promise: looking never writes; a damaged log is told with the event after which it is damaged.

mod again;
mod branches;
mod on_disk;
mod pending;
mod rewind;
mod stop;
mod undo;
mod whole;

use super::{counted, print_json, print_text};
use crate::args::operations::SessionOperation;
use crate::args::{Cli, RunArgs, SessionsCommand, StatusWord};
use crate::budget_words;
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::installed;
use crate::paint::{err_line, lines, one_line};
use crate::run::{Receipt, Waiting, hand_over};
use crate::settings::{self, Said};
use crate::wiring::{self, Wiring};
use harness_core::budget::Budget;
use harness_core::item::{AssistantPart, Item};
use harness_core::limits::TITLE_CHARS_MAX;
use harness_core::{Event, InboxId, Sequence, SessionId, TimeMs};
use harness_engine::ports::{Archived, LeaseError, SessionCursor, SessionFilter, SessionStatus, SessionSummary};
use harness_engine::{ExportError, LoggedEvent, OpenError};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Events read from the log at once.
const PAGE_EVENTS_MAX: usize = 500;
/// How often a follower looks for new events.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// Sessions listed or looked through at once at most.
pub(super) const SESSIONS_MAX: usize = 10_000;

/// How the host's words on a mode begin in a conversation.
const MODE_NOTE: &str = "[The session is now in the mode `";

/// Runs the command.
pub(crate) async fn run(cli: &Cli, command: &SessionsCommand) -> Result<Exit, Failure> {
    let said = Said::from_cli(cli);
    let settings = settings::read(&said, None)?;
    let wiring = wiring::wire(&settings)?;
    match command {
        SessionsCommand::Operation(operation) => operate(cli, operation, (&said, &wiring)).await,
        SessionsCommand::List { workspace, search, limit, skip, archived, all, status, after, output } => {
            let workspace = workspace.as_deref().map(|path| settings::workspace_folder(Some(path))).transpose()?;
            let filter = SessionFilter {
                workspace: workspace.map(|path| path.display().to_string()),
                search: search.clone(),
                archived: match (archived, all) {
                    (true, _) => Archived::Only,
                    (false, true) => Archived::Included,
                    (false, false) => Archived::LeftOut,
                },
                status: status.map(|word| match word {
                    StatusWord::Idle => SessionStatus::Idle,
                    StatusWord::Running => SessionStatus::Running,
                    StatusWord::NeedsAnswer => SessionStatus::NeedsAnswer,
                }),
                after: match after {
                    Some(text) => Some(cursor(&wiring, text).await?),
                    None => None,
                },
                sessions_max: (*limit).min(SESSIONS_MAX),
                skip: *skip,
                ..SessionFilter::default()
            };
            list(&wiring, filter, output.json).await
        }
        SessionsCommand::Show { id, output } => show(&wiring, wiring.find_session(id).await?, output.json).await,
        SessionsCommand::Events { id, from, follow, output } => {
            let id = wiring.find_session(id).await?;
            events(&wiring, id, Sequence(from.saturating_sub(1)), *follow, output.json).await
        }
        SessionsCommand::Budget { id, changes, output } => {
            budget(&wiring, wiring.find_session(id).await?, changes, output.json).await
        }
        SessionsCommand::Rename { id, title } => {
            let id = wiring.find_session(id).await?;
            let renamed = wiring.host.rename(id, title.clone()).await;
            told(&wiring, id, renamed, "renaming", Event::SessionRenamed { title: title.clone() }).await?;
            print_text(&format!("{id} is now “{}”", one_line(title, 100)))
        }
        SessionsCommand::Delete { ids, yes } => delete(&wiring, ids, *yes).await,
        SessionsCommand::Diff { id, which, output } => {
            let id = wiring.find_session(id).await?;
            undo::diff(&wiring, &settings, id, which, output.json).await
        }
        SessionsCommand::Undo { id, which, dry_run, yes, output } => {
            let id = wiring.find_session(id).await?;
            undo::undo(&wiring, &said, id, which, (*dry_run, *yes, output.json)).await
        }
        SessionsCommand::Export { id, out, file } => {
            export(&wiring, wiring.find_session(id).await?, out.as_deref().or(file.as_deref())).await
        }
    }
}

/// What is done with whole sessions.
async fn operate(cli: &Cli, operation: &SessionOperation, (said, wiring): (&Said, &Wiring)) -> Result<Exit, Failure> {
    match operation {
        SessionOperation::Pending { id, output } => {
            let only = match id {
                Some(text) => Some(wiring.find_session(text).await?),
                None => None,
            };
            pending::list(wiring, only, output.json).await
        }
        SessionOperation::Answer(args) => crate::run::answer(cli, args).await,
        SessionOperation::Say(args) => crate::run::say(cli, args).await,
        SessionOperation::Stop { id, wait, output } => {
            stop::stop(wiring, said, wiring.find_session(id).await?, *wait, output.json).await
        }
        SessionOperation::Receipt { id, entry, output } => {
            receipt(wiring, wiring.find_session(id).await?, entry, output.json).await
        }
        SessionOperation::Switch { id } => {
            crate::run::run(cli, &RunArgs { session: Some(id.clone()), ..RunArgs::default() }).await
        }
        SessionOperation::Follow { id, after, output } => {
            let id = wiring.find_session(id).await?;
            let tip = wiring.host.ports().log.tip(id).await.map_err(|error| Failure::because("following", &error))?;
            events(wiring, id, after.map_or(tip.sequence, Sequence), true, output.json).await
        }
        SessionOperation::Fork { id, at, how } => {
            branches::fork(wiring, wiring.find_session(id).await?, *at, how).await
        }
        SessionOperation::Clone { id, how } => branches::fork(wiring, wiring.find_session(id).await?, None, how).await,
        SessionOperation::Rewind { id, to, files, force, dry_run, yes, output } => {
            let id = wiring.find_session(id).await?;
            let (to, files, force, dry_run, yes, json) = (*to, *files, *force, *dry_run, *yes, output.json);
            let wanted = rewind::Wanted { to, files, force, dry_run, yes, json };
            rewind::rewind(wiring, said, id, wanted).await
        }
        SessionOperation::Archive { ids } => branches::archive(wiring, ids, true).await,
        SessionOperation::Unarchive { ids } => branches::archive(wiring, ids, false).await,
        SessionOperation::Import { file, workspace, same_id, output } => {
            branches::import(wiring, file, workspace.as_deref(), *same_id, output.json).await
        }
        SessionOperation::Verify { id, head, output } => {
            whole::verify(wiring, wiring.find_session(id).await?, head.as_deref(), output.json).await
        }
        SessionOperation::Replay { id, execute, output } => {
            let id = wiring.find_session(id).await?;
            if !execute {
                return whole::replay(wiring, id, None, output.json).await;
            }
            let summary = wiring.host.ports().index.summary(id).await;
            let own = summary.map_err(|error| Failure::because("reading the session", &error))?.workspace;
            let workspace = settings::workspace_folder(Some(Path::new(&own)))?;
            let here = settings::read(said, Some(&workspace))?;
            let installation = installed::installation(&here, Some(&workspace), wiring::call_limits(&here))?;
            let place = again::Place { workspace: &workspace, installation: &installation };
            whole::replay(wiring, id, Some(place), output.json).await
        }
    }
}

/// The sessions that these texts mean, each once. All are looked for before anything is done with one.
async fn found(wiring: &Wiring, texts: &[String]) -> Result<Vec<SessionId>, Failure> {
    let mut ids = Vec::new();
    for text in texts {
        let id = wiring.find_session(text).await?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Deletes sessions for good, after showing which ones.
async fn delete(wiring: &Wiring, texts: &[String], yes: bool) -> Result<Exit, Failure> {
    let whole = |text: &String| {
        text.parse::<SessionId>().map_err(|_| {
            Failure::usage(format!("to delete, give the whole id of the session, not `{}`", one_line(text, 80)))
        })
    };
    texts.iter().try_for_each(|text| whole(text).map(drop))?;
    let mut named = Vec::new();
    for id in found(wiring, texts).await? {
        let summary = wiring.host.ports().index.summary(id).await;
        let title = summary.map_err(|error| Failure::because("reading the session", &error))?.title;
        named.push((id, format!("{id} “{}”", one_line(&title, TITLE_CHARS_MAX))));
    }
    if !yes {
        named.iter().for_each(|(_, name)| err_line(name));
        let question = format!("Delete {} for good?", counted(named.len(), "session"));
        if !undo::is_wanted(&question, "give --yes to delete for good, or put away with sessions archive", false)? {
            return print_text("nothing was deleted");
        }
    }
    for (id, name) in named {
        wiring.host.delete(id).await.map_err(|error| Failure::because("deleting", &error))?;
        print_text(&format!("deleted {name}"))?;
    }
    Ok(Exit::Done)
}

/// How it went to tell a session something. Where another process holds it, that one is told.
async fn told(
    wiring: &Wiring,
    id: SessionId,
    result: Result<(), OpenError>,
    tried: &str,
    input: Event,
) -> Result<(), Failure> {
    match result {
        Err(OpenError::Lease(LeaseError::Held { .. })) => hand_over(&wiring.host, id, input).await,
        Err(OpenError::Refused(refusal)) => Err(Failure::usage(format!("{tried}: {refusal}"))),
        other => other.map_err(|error| Failure::because(tried, &error)),
    }
}

/// Tells what came of something that was given to a session.
async fn receipt(wiring: &Wiring, id: SessionId, entry: &str, json: bool) -> Result<Exit, Failure> {
    let entry: InboxId = entry.parse().map_err(|_| {
        Failure::usage(format!("`{}` names nothing that was given: it begins with in_", one_line(entry, 80)))
    })?;
    let receipt = Receipt::find(&wiring.host, id, entry).await?;
    if json { print_json(&receipt.for_programs()) } else { print_text(&receipt.in_words()) }
}

/// The place in the list that a session has, or had when it was updated as the text says.
async fn cursor(wiring: &Wiring, text: &str) -> Result<SessionCursor, Failure> {
    if let Some((session, updated)) = text.split_once('@') {
        let wrong = || Failure::usage(format!("`{}` is no place: give ID or ID@UPDATED", one_line(text, 80)));
        let updated = updated.parse().map(TimeMs).map_err(|_| wrong())?;
        return Ok(SessionCursor { updated, session: session.parse().map_err(|_| wrong())? });
    }
    let id = wiring.find_session(text).await?;
    let row = wiring.host.ports().index.summary(id).await;
    row.map(|row| SessionCursor::after(&row)).map_err(|error| Failure::because("reading the session", &error))
}

/// Shows what a session may spend, after setting what is to change.
async fn budget(wiring: &Wiring, id: SessionId, changes: &[String], json: bool) -> Result<Exit, Failure> {
    let mut loaded = wiring.host.load(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    let mut budget = loaded.state.budget;
    if !changes.is_empty() {
        budget = budget_words::changed(budget, changes.iter().map(String::as_str))?;
        let set = wiring.host.set_budget(id, budget).await;
        told(wiring, id, set, "setting the budget", Event::BudgetSet { budget }).await?;
        loaded.state.budget = budget;
    }
    let spent = &loaded.state.spent;
    if json {
        print_json(&json!({ "session": id, "budget": budget, "spent": spent }))
    } else {
        print_text(&budget_words::shown(&budget, spent))?;
        let note = budget_words::without_price(&loaded.state, &Budget::default());
        note.map_or(Ok(Exit::Done), |words| print_text(&words))
    }
}

async fn list(wiring: &Wiring, filter: SessionFilter, json: bool) -> Result<Exit, Failure> {
    let found = wiring.host.ports().index.list(filter).await.map_err(|error| Failure::because("listing", &error))?;
    if json {
        return print_json(&found);
    }
    if found.is_empty() {
        return print_text("no sessions");
    }
    let rows: Vec<String> = found.iter().map(row).collect();
    print_text(&rows.join("\n"))
}

fn row(summary: &SessionSummary) -> String {
    format!(
        "{}  {:12}  {}  {}  {}  {}",
        summary.session,
        status(summary.status),
        when(summary.updated.0),
        counted(usize::try_from(summary.turns).unwrap_or(usize::MAX), "turn"),
        one_line(&summary.model, 40),
        one_line(&summary.title, 60)
    )
}

fn status(status: SessionStatus) -> &'static str {
    match status {
        SessionStatus::Idle => "idle",
        SessionStatus::Running => "running",
        SessionStatus::NeedsAnswer => "needs-answer",
    }
}

/// UTC, to the second, as RFC 3339 writes it.
pub(super) fn when(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant's algorithm for civil dates from days since 1970-01-01.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

async fn show(wiring: &Wiring, id: SessionId, json: bool) -> Result<Exit, Failure> {
    let ports = wiring.host.ports();
    let summary = ports.index.summary(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    // What is shown is read: a checkpoint would hide that it was changed.
    let loaded = wiring.host.load_whole(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    let holder = ports.lease.holder(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    let waiting = Waiting::of(&loaded.state, ports.blobs.as_ref()).await?;
    if json {
        return print_json(&json!({
            "summary": summary, "head": loaded.tip.hash, "held_by": holder, "pending": pending::for_programs(id, &waiting),
            "allowances": loaded.state.allowances, "last_end": loaded.state.last_end, "items": loaded.state.history,
        }));
    }
    let mut text = vec![
        row(&summary),
        format!("workspace  {}", one_line(&summary.workspace, 4_096)),
        format!("created    {}", when(summary.created.0)),
        format!("events     {}, head {}", summary.last_sequence, loaded.tip.hash),
        format!("tokens     {} in, {} out", summary.usage.input_tokens, summary.usage.output_tokens),
    ];
    text.push(format!("mode       {}", one_line(&loaded.state.mode, 64)));
    let messages = loaded.state.messages.len();
    if messages > 0 {
        text.push(format!("messages   {messages} not delivered yet"));
    }
    let pending = pending::for_people(id, &waiting);
    if !pending.is_empty() {
        text.push("\nwaits for an answer:".to_owned());
        text.extend(pending);
    }
    text.push(String::new());
    text.extend(loaded.state.history.iter().map(|item| shown_item(item)));
    print_text(&text.join("\n"))
}

fn shown_item(item: &Item) -> String {
    match item {
        // Of what the host tells the model of a mode, which mode it is.
        Item::User { text } if text.starts_with(MODE_NOTE) => one_line(text, 100),
        Item::User { text } => format!("> {}", lines(text)),
        Item::Assistant { parts, .. } => {
            let parts = parts.iter().map(|part| match part {
                AssistantPart::Text { text } => lines(text),
                AssistantPart::Reasoning { text, .. } => format!("(thinks: {})", one_line(text, 120)),
                AssistantPart::ToolCall { tool, arguments, .. } => {
                    format!("• {} {}", one_line(tool, 64), one_line(arguments, 160))
                }
            });
            parts.collect::<Vec<_>>().join("\n")
        }
        Item::ToolResults { results } => {
            let rows = results
                .iter()
                .map(|result| format!("  {} {}", if result.is_error { "✗" } else { "✓" }, one_line(&result.text, 160)));
            rows.collect::<Vec<_>>().join("\n")
        }
    }
}

async fn events(wiring: &Wiring, id: SessionId, after: Sequence, follow: bool, json: bool) -> Result<Exit, Failure> {
    let mut after = after;
    loop {
        let page = wiring.host.events(id, after, PAGE_EVENTS_MAX).await;
        let page = page.map_err(|error| Failure::failed(format!("reading events after {after}: {}", chain(&error))))?;
        let mut out = std::io::stdout().lock();
        for logged in &page {
            after = logged.header.sequence;
            let line = if json { serde_json::to_string(logged).unwrap_or_default() } else { event_row(logged) };
            if writeln!(out, "{line}").is_err() {
                return Ok(Exit::Done);
            }
        }
        if out.flush().is_err() {
            return Ok(Exit::Done);
        }
        drop(out);
        if page.len() == PAGE_EVENTS_MAX {
            continue;
        }
        if !follow {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
        }
    }
}

fn event_row(logged: &LoggedEvent) -> String {
    let header = &logged.header;
    let body = match logged.event.as_ref().map(serde_json::to_value) {
        Some(Ok(Value::Object(mut fields))) => {
            fields.remove("kind");
            Value::Object(fields).to_string()
        }
        _ => "(erased)".to_owned(),
    };
    format!("{:>6}  {}  {:20} {}", header.sequence.0, when(header.time.0), header.kind, one_line(&body, 200))
}

/// The session as one portable file (the engine's `portable` says what is in it).
async fn export(wiring: &Wiring, id: SessionId, out: Option<&Path>) -> Result<Exit, Failure> {
    let failed = |error: ExportError| Failure::because("exporting", &error);
    let Some(path) = out else {
        let mut writer = std::io::BufWriter::new(std::io::stdout());
        return match wiring.host.export(id, &mut writer).await {
            Err(ExportError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            exported => exported.map(|_| Exit::Done).map_err(failed),
        };
    };
    // A log that cannot be exported leaves no file behind.
    wiring.host.verify(id).await.map_err(|error| Failure::because("exporting", &error))?;
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = created.map_err(|error| Failure::usage(format!("{} cannot be created: {error}", path.display())))?;
    let mut writer = std::io::BufWriter::new(file);
    let exported = match wiring.host.export(id, &mut writer).await {
        Ok(_) => writer.get_ref().sync_all().map_err(ExportError::Write),
        Err(error) => Err(error),
    };
    if exported.is_err() {
        // The beginning of an export is none.
        let _ = std::fs::remove_file(path);
    }
    exported.map(|()| Exit::Done).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696_000, "2000-02-29T12:34:56Z"),
            (1_795_190_400_999, "2026-11-20T16:00:00Z"),
            (-1_000, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(when(unix_ms), expected);
        }
    }
}
