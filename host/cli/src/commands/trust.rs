//! `harness-host trust`: what was earned, and what was done unasked.
//!
//! Promise: looking never writes; what a person says of trust is in a session's log and, in the same append, in the
//! ledger that all sessions share; nothing that is under way in a session is taken up for it.
//!
//! Not here: what counts as evidence and when a level changes (harness-core).

use crate::args::Cli;
use crate::args::operations::{LevelWord, TrustCommand};
use crate::commands::sessions::SESSIONS_MAX;
use crate::commands::{print_json, print_text};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::paint::one_line;
use crate::settings::{self, Said};
use crate::wiring::{self, Wiring};
use harness_core::trust::{TrustKey, TrustLevel, TrustRecord};
use harness_core::{CallId, SessionId};
use harness_engine::Session;
use harness_engine::ports::{Archived, SessionFilter, Takeover};
use serde_json::json;
use std::path::Path;

/// Arguments of a call are shown up to this many characters.
const ARGUMENT_CHARS_MAX: usize = 160;

/// Runs the command.
pub(crate) async fn run(cli: &Cli, command: &TrustCommand) -> Result<Exit, Failure> {
    let said = Said::from_cli(cli);
    let wiring = wiring::wire(&settings::read(&said, None)?)?;
    match command {
        TrustCommand::Show { session, output } => show(&wiring, session.as_deref(), output.json).await,
        TrustCommand::Set { key, level } => {
            let found = named(&records(&wiring, None).await?, &key.key)?;
            let level = match level {
                LevelWord::Supervised => TrustLevel::Supervised,
                LevelWord::SemiAutonomous => TrustLevel::SemiAutonomous,
                LevelWord::Autonomous => TrustLevel::Autonomous,
            };
            let session = open(&wiring, &said, through(&wiring, key.session.as_deref()).await?).await?;
            let set = session.set_trust(found.clone(), level).await;
            session.close().await;
            set.map_err(|error| Failure::usage(chain(&error)))?;
            print_text(&format!("{} is {} from now on", one_line(&found.to_string(), 400), level.word()))
        }
        TrustCommand::Reset { key, session } => {
            let key = match key {
                Some(text) => Some(named(&records(&wiring, None).await?, text)?),
                None => None,
            };
            let session = open(&wiring, &said, through(&wiring, session.as_deref()).await?).await?;
            let reset = session.reset_trust(key.clone()).await;
            session.close().await;
            reset.map_err(|error| Failure::usage(chain(&error)))?;
            let what = key.map_or_else(|| "everything".to_owned(), |key| one_line(&key.to_string(), 400));
            print_text(&format!("{what} is supervised from now on"))
        }
        TrustCommand::Review { session, accept, reject, output } => {
            let (unreviewed, unread) = unreviewed(&wiring, session.as_deref()).await?;
            if accept.is_empty() && reject.is_empty() {
                let listed = list(&unreviewed, output.json);
                return if unread.is_empty() { listed } else { Err(Failure::failed(unread.join("\n"))) };
            }
            let mut said_of = Vec::new();
            for (texts, accepted) in [(accept, true), (reject, false)] {
                for text in texts {
                    said_of.push((waiting(&unreviewed, text)?, accepted));
                }
            }
            for (found, accepted) in said_of {
                review(&wiring, &said, found, accepted).await?;
            }
            Ok(Exit::Done)
        }
    }
}

/// What is known: by one session, or by all together.
async fn records(wiring: &Wiring, session: Option<SessionId>) -> Result<Vec<TrustRecord>, Failure> {
    match session {
        Some(id) => {
            let loaded = wiring.host.load(id).await.map_err(|error| Failure::because("reading the session", &error))?;
            let entry = |entry: &harness_core::trust::TrustEntry| TrustRecord {
                evidence: entry.evidence(),
                total: entry.total(),
                ..entry.own.clone()
            };
            Ok(loaded.state.ledger.entries().map(entry).collect())
        }
        None => wiring.host.trust_records().await.map_err(|error| Failure::because("reading the ledger", &error)),
    }
}

async fn show(wiring: &Wiring, session: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let session = match session {
        Some(text) => Some(wiring.find_session(text).await?),
        None => None,
    };
    let mut records = records(wiring, session).await?;
    records.sort_by(|one, other| one.key.cmp(&other.key));
    if json {
        return print_json(&records);
    }
    if records.is_empty() {
        return print_text("nothing is known yet: every change is asked about as the rules and the mode say");
    }
    let row = |record: &TrustRecord| {
        let key = one_line(&record.key.to_string(), 400);
        format!("{:15}  {key}\n    now {}; in all {}", record.level.word(), record.evidence, record.total)
    };
    print_text(&records.iter().map(row).collect::<Vec<_>>().join("\n"))
}

/// The key that a text means: the only known one that it is a part of, or one that is written out.
fn named(records: &[TrustRecord], text: &str) -> Result<TrustKey, Failure> {
    let found: Vec<&TrustKey> =
        records.iter().map(|record| &record.key).filter(|key| key.to_string().contains(text)).collect();
    if let Some(key) = found.iter().find(|key| key.to_string() == text) {
        return Ok((*key).clone());
    }
    match found.as_slice() {
        [key] => Ok((*key).clone()),
        [] => written_out(text).ok_or_else(|| {
            Failure::usage(format!(
                "`{}` is in no key that is known, and not AGENT/COMPONENT/TOOL/TASK/CATEGORY/RISK; trust show lists them",
                one_line(text, 200)
            ))
        }),
        several => {
            let keys: Vec<String> = several.iter().map(|key| one_line(&key.to_string(), 200)).collect();
            Err(Failure::usage(format!("`{}` is in several keys: {}", one_line(text, 80), keys.join(", "))))
        }
    }
}

fn written_out(text: &str) -> Option<TrustKey> {
    // What implements a tool of another hand, or its component, may have a slash; the others have none.
    let mut parts = text.rsplitn(5, '/');
    let (risk, category, task, tool) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (agent, component) = parts.next()?.split_once('/')?;
    let is_empty = [agent, component, tool].iter().any(|part| part.is_empty());
    let key = TrustKey {
        agent: agent.to_owned(),
        component: component.to_owned(),
        tool: tool.to_owned(),
        task: if task == "-" { String::new() } else { task.to_owned() },
        category: serde_json::from_value(json!(category)).ok()?,
        risk: serde_json::from_value(json!(risk)).ok()?,
    };
    (!is_empty).then_some(key)
}

/// The session through whose log something is said.
async fn through(wiring: &Wiring, session: Option<&str>) -> Result<SessionId, Failure> {
    if let Some(text) = session {
        return wiring.find_session(text).await;
    }
    let filter = SessionFilter { sessions_max: 1, archived: Archived::Included, ..SessionFilter::default() };
    let found = wiring.host.ports().index.list(filter).await;
    let found = found.map_err(|error| Failure::because("listing sessions", &error))?;
    found.first().map(|summary| summary.session).ok_or_else(|| {
        Failure::usage("there is no session yet in whose log it could be said: begin one with harness-host run")
    })
}

/// Opens a session that nothing is under way in, to say something in its log.
pub(super) async fn open(wiring: &Wiring, said: &Said, id: SessionId) -> Result<Session, Failure> {
    let summary = wiring.host.ports().index.summary(id).await;
    let workspace = summary.map_err(|error| Failure::because("reading the session", &error))?.workspace;
    let workspace = settings::workspace_folder(Some(Path::new(&workspace)))?;
    let settings = settings::read(said, Some(&workspace))?;
    let hands = wiring.hands(&settings, &workspace, Vec::new(), wiring.host.ports().kv.clone())?;
    let opened = wiring.host.open_idle(id, hands, Takeover::IfGone).await;
    opened.map_err(|error| Failure::failed(format!("opening {id}: {} (--session chooses another one)", chain(&error))))
}

/// A call that ran by trust alone.
struct Unreviewed {
    session: SessionId,
    call: CallId,
    key: TrustKey,
    arguments: String,
}

/// All that waits for a review, and why sessions could not be read: one such hides nothing of the others.
async fn unreviewed(wiring: &Wiring, session: Option<&str>) -> Result<(Vec<Unreviewed>, Vec<String>), Failure> {
    let sessions = wiring.sessions(session, SESSIONS_MAX).await?;
    let (mut all, mut unread) = (Vec::new(), Vec::new());
    for id in sessions {
        let loaded = match wiring.host.load(id).await {
            Ok(loaded) => loaded,
            Err(error) => {
                unread.push(format!("{id}: {}", chain(&error)));
                continue;
            }
        };
        all.extend(loaded.state.unreviewed().map(|it| Unreviewed {
            session: id,
            call: it.call,
            key: it.key.clone(),
            arguments: it.arguments.clone(),
        }));
    }
    Ok((all, unread))
}

fn list(unreviewed: &[Unreviewed], json: bool) -> Result<Exit, Failure> {
    if json {
        let all = unreviewed
            .iter()
            .map(|it| json!({ "session": it.session, "call": it.call, "key": it.key, "arguments": it.arguments }));
        return print_json(&all.collect::<Vec<_>>());
    }
    if unreviewed.is_empty() {
        return print_text("nothing that ran by trust alone waits for a review");
    }
    let rows = unreviewed.iter().map(|it| {
        let arguments = crate::paint::arguments(&it.arguments, ARGUMENT_CHARS_MAX);
        format!(
            "{}  {}  {arguments}\n  trusted as {}\n  to take it back: harness-host sessions undo {} --call {}",
            it.call,
            one_line(&it.key.tool, 64),
            one_line(&it.key.to_string(), 400),
            it.session,
            it.call
        )
    });
    let rows: Vec<String> = rows.collect();
    print_text(&format!("{}\nharness-host trust review --accept CALL, or --reject CALL", rows.join("\n")))
}

/// The call that waits for a review under this id.
fn waiting<'a>(unreviewed: &'a [Unreviewed], text: &str) -> Result<&'a Unreviewed, Failure> {
    unreviewed.iter().find(|it| it.call.to_string() == text).ok_or_else(|| {
        Failure::usage(format!("the call `{}` does not wait for a review; nothing was said of any", one_line(text, 80)))
    })
}

async fn review(wiring: &Wiring, said: &Said, found: &Unreviewed, accepted: bool) -> Result<(), Failure> {
    let session = open(wiring, said, found.session).await?;
    let reviewed = session.review(found.call, accepted).await;
    session.close().await;
    reviewed.map_err(|error| Failure::usage(chain(&error)))?;
    let word = if accepted { "accepted" } else { "rejected: its key is trusted less" };
    print_text(&format!("{} is {word}", found.call)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_meant_by_a_part_or_written_out() {
        let key = |text: &str| written_out(text).unwrap();
        let record = |text: &str| TrustRecord {
            key: key(text),
            level: TrustLevel::Supervised,
            era: 0,
            began: TrustLevel::Supervised,
            implementation: String::new(),
            evidence: Default::default(),
            total: Default::default(),
        };
        let full = ["default/files/edit_file/build/edit/low", "default/files/write_file/build/edit/low"];
        let records = full.map(record);
        assert_eq!(key(full[0]).to_string(), full[0]);
        assert_eq!(named(&records, "edit_file/").unwrap(), key(full[0]));
        assert!(named(&records, "files").unwrap_err().message.contains("several"));
        assert_eq!(named(&records, "a/b/c/t/-/network/high").unwrap().component, "b/c");
        for wrong in ["nothing", "a/b/t/-/network/huge", "a//t/-/network/high"] {
            assert!(named(&records, wrong).is_err(), "{wrong}");
        }
    }
}
