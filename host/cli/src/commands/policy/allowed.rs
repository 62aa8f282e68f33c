//! `policy allowed|forbid`: what persons allowed for later calls, and taking it back.
//!
//! Promise: looking never writes, and a session that cannot be read hides nothing of the others; what is taken back is in
//! a session's log and, in the same append, gone for every session that it held in.
//!
//! Not here: allowing (answers), what an allowance covers (harness-core).

use crate::args::Cli;
use crate::commands::sessions::{SESSIONS_MAX, when};
use crate::commands::{print_json, print_text, trust};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::paint::one_line;
use crate::run::hand_over;
use crate::settings::{self, Said};
use crate::wiring::{self, Wiring};
use harness_core::verdict::{Allowance, Coverage};
use harness_core::{AllowanceId, Event, Scope, SessionId};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A pattern, a path or a rule is shown up to this many characters.
const TEXT_CHARS_MAX: usize = 400;

/// An allowance, and a session that it holds in.
struct Found {
    allowance: Allowance,
    session: SessionId,
    /// Where it holds: the session, the folder or the agent; empty for everywhere.
    place: String,
}

impl Found {
    fn in_words(&self) -> String {
        let Allowance { tool, rule, coverage, scope, until } = &self.allowance;
        let covered = match coverage {
            Coverage::Exact { digest } => format!("with exactly the arguments {digest}"),
            Coverage::Pattern { pattern } => format!("where it is {}", json!(pattern)),
            Coverage::Tool => "whatever its arguments".to_owned(),
            Coverage::Category { category } => format!("and every tool of the category {}", category.word()),
        };
        let until = until.map(|until| format!(", until {}", when(until.0))).unwrap_or_default();
        format!(
            "{}  {} {}\n  {} {}{until}; answers rule {}",
            self.allowance.id(),
            one_line(tool, 64),
            one_line(&covered, TEXT_CHARS_MAX),
            scope.word(),
            one_line(&self.place, TEXT_CHARS_MAX),
            one_line(rule, TEXT_CHARS_MAX)
        )
    }

    fn for_programs(&self) -> Value {
        json!({
            "id": self.allowance.id(), "allowance": self.allowance, "session": self.session, "place": self.place,
        })
    }
}

/// All that is allowed, and why sessions could not be read.
struct All {
    found: Vec<Found>,
    unread: Vec<String>,
}

/// Lists what is allowed.
pub(super) async fn list(cli: &Cli, session: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let wiring = wiring::wire(&settings::read(&Said::from_cli(cli), None)?)?;
    let All { mut found, unread } = all(&wiring, session).await?;
    let mut seen: Vec<(AllowanceId, String)> = Vec::new();
    found.retain(|it| {
        let key = (it.allowance.id(), it.place.clone());
        let is_new = !seen.contains(&key);
        seen.extend(is_new.then_some(key));
        is_new
    });
    let printed = if json {
        print_json(&found.iter().map(Found::for_programs).collect::<Vec<_>>())
    } else if found.is_empty() {
        print_text("nothing is allowed for later calls")
    } else {
        let rows: Vec<String> = found.iter().map(Found::in_words).collect();
        print_text(&format!("{}\nto take one back: harness-host policy forbid ALLOWANCE", rows.join("\n")))
    };
    if unread.is_empty() { printed } else { Err(Failure::failed(unread.join("\n"))) }
}

/// Takes one back.
pub(super) async fn forbid(cli: &Cli, text: &str) -> Result<Exit, Failure> {
    let said = Said::from_cli(cli);
    let wiring = wiring::wire(&settings::read(&said, None)?)?;
    let All { found, .. } = all(&wiring, None).await?;
    let holding: Vec<&Found> = found.iter().filter(|it| it.allowance.id().to_string() == text).collect();
    let Some(first) = holding.first() else {
        return Err(Failure::usage(format!(
            "nothing is allowed as `{}`; harness-host policy allowed lists what is",
            one_line(text, 80)
        )));
    };
    let id = first.allowance.id();
    // One place after another: the same may be allowed in several sessions or folders.
    let places: BTreeSet<&str> = holding.iter().map(|it| it.place.as_str()).collect();
    let mut forbidden = Ok(());
    for place in places {
        let sessions = holding.iter().filter(|it| it.place == place).map(|it| it.session);
        // What cannot be taken back in one place still is in the others.
        forbidden = forbidden.and(forbid_through(&wiring, &said, id, &sessions.collect::<Vec<_>>()).await);
    }
    forbidden?;
    print_text(&format!("{id} is taken back: such calls are asked about again"))
}

/// Takes it back in one of these sessions, all of which know of it: one that can be opened, else whoever holds one.
async fn forbid_through(wiring: &Wiring, said: &Said, id: AllowanceId, sessions: &[SessionId]) -> Result<(), Failure> {
    for session in sessions {
        let Ok(session) = trust::open(wiring, said, *session).await else { continue };
        let forbidden = session.forbid(id).await;
        session.close().await;
        return forbidden.map_err(|error| Failure::usage(chain(&error)));
    }
    let mut last = Ok(());
    for session in sessions {
        last = hand_over(&wiring.host, *session, Event::AllowanceRevoked { allowance: id, expired: false }).await;
        if last.is_ok() {
            break;
        }
    }
    last
}

async fn all(wiring: &Wiring, session: Option<&str>) -> Result<All, Failure> {
    let sessions = wiring.sessions(session, SESSIONS_MAX).await?;
    let mut all = All { found: Vec::new(), unread: Vec::new() };
    for id in sessions {
        let loaded = wiring.host.load(id).await.map_err(|error| chain(&error));
        let read = match loaded {
            Ok(loaded) => wiring.host.allowances(id).await.map(|it| (loaded, it)).map_err(|error| chain(&error)),
            Err(words) => Err(words),
        };
        match read {
            Ok((loaded, allowances)) => all.found.extend(allowances.into_iter().map(|allowance| {
                let agent = loaded.state.context.as_ref().map(|context| context.agent.clone());
                let place = match allowance.scope {
                    Scope::Turn | Scope::Session => id.to_string(),
                    Scope::Workspace => loaded.state.workspace.clone(),
                    Scope::Agent => agent.unwrap_or_default(),
                    Scope::Principal | Scope::Tenant | Scope::Global => String::new(),
                };
                Found { allowance, session: id, place }
            })),
            Err(words) => all.unread.push(format!("{id}: {words}")),
        }
    }
    Ok(all)
}
