//! `sessions rewind`: back to an event, with files or without.
//!
//! Promise: what would change and what cannot be taken back is shown first; what somebody else made of a file is
//! replaced only where that was asked for; git's HEAD and index are compared with what they were, and a difference is said.
//!
//! Not here: going back (harness-engine), putting files back in place (harness-wasm).

use super::on_disk::{self, OnDisk};
use super::undo::{Planned, confirmed, conflict, refusal, shown, told, told_of};
use crate::commands::{print_json, print_text};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::git::{self, Repository};
use crate::paint::{err_line, lines};
use crate::settings::{self, Said};
use crate::wiring::Wiring;
use harness_core::event::ApplyResult;
use harness_core::{Sequence, SessionId};
use harness_engine::ports::Takeover;
use harness_engine::{Files, LoadError, Selection, UndoPlan};
use serde_json::json;
use std::path::Path;

/// What is asked for.
pub(super) struct Wanted {
    pub(super) to: u64,
    pub(super) files: bool,
    pub(super) force: bool,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
    pub(super) json: bool,
}

/// Goes back.
pub(super) async fn rewind(wiring: &Wiring, said: &Said, id: SessionId, wanted: Wanted) -> Result<Exit, Failure> {
    let past = wiring.host.load_at(id, Sequence(wanted.to)).await.map_err(|error| match error {
        LoadError::NoEvent { .. } => Failure::usage(error.to_string()),
        other => Failure::because("reading the session", &other),
    })?;
    let to = past.tip.sequence;
    // Where it works now: a fork or an import may have worked elsewhere then.
    let summary = wiring.host.ports().index.summary(id).await;
    let workspace = summary.map_err(|error| Failure::because("reading the session", &error))?.workspace;
    let workspace = settings::workspace_folder(Some(Path::new(&workspace)))?;
    let git = git::difference(past.state.git.as_ref(), Repository::default().look(&workspace).as_ref());
    let plan = wiring.host.plan_undo(id, Selection::After(to)).await.map_err(told)?;
    let on_disk = on_disk::compare(&workspace, &plan.manifest)?;
    let stands = !on_disk.changed.is_empty() || !plan.foreign.is_empty();
    let over = match wanted.force && stands {
        true => Some(on_disk::standing(&workspace, &plan.manifest)?),
        false => None,
    };
    let is_needed = wanted.files && plan.manifest.entries().len() > on_disk.already.len();
    let refusal = refusal_of(&plan, &on_disk, &wanted).filter(|_| wanted.files);
    let diff = shown(wiring, &plan.manifest).await?;
    let planned = Planned { plan: &plan, diff: &diff, on_disk: &on_disk };
    let print = |result: Option<&str>| {
        let files = wanted.files.then(|| planned.for_programs(None));
        print_json(&json!({ "session": id, "to": to, "files": files, "git": git, "result": result }))
    };
    if !wanted.json {
        if wanted.files {
            planned.show()?;
            on_disk
                .changed
                .iter()
                .for_each(|path| err_line(&lines(&format!("changed since by somebody else: {path}"))));
        }
        print_text(&format!("{id} goes back to event {to}; it is at {}", last(wiring, id).await?))?;
        git.iter().for_each(|words| err_line(words));
    }
    if let Some(failure) = refusal {
        return Err(failure);
    }
    if wanted.dry_run {
        return if wanted.json { print(None) } else { Ok(Exit::Done) };
    }
    let count = if is_needed { plan.manifest.entries().len().saturating_sub(on_disk.already.len()) } else { 0 };
    if count > 0 && !wanted.yes && !confirmed(count, wanted.json)? {
        return print_text("nothing was changed");
    }
    let settings = settings::read(said, Some(&workspace))?;
    let hands = wiring.hands(&settings, &workspace, Vec::new(), wiring.host.ports().kv.clone())?;
    let files = is_needed.then_some(Files { plan: &plan, over: over.as_ref() });
    let rewound = wiring.host.rewind(id, to, files, hands, Takeover::IfGone).await;
    match rewound.map_err(|error| told_of(id, error))? {
        Ok(_) if wanted.json => print(Some("rewound")),
        Ok(to) => print_text(&format!("went back to event {to}")),
        Err(ApplyResult::Conflict { paths }) => Err(conflict(&paths)),
        Err(other) => Err(Failure::failed(format!("not taken back: {}", lines(&format!("{other:?}"))))),
    }
}

/// Why files cannot be taken back.
fn refusal_of(plan: &UndoPlan, on_disk: &OnDisk, wanted: &Wanted) -> Option<Failure> {
    if !wanted.force {
        return refusal(plan, on_disk).map(|failure| Failure {
            message: format!("{} (--force replaces what somebody else made of it)", failure.message),
            ..failure
        });
    }
    let kept = UndoPlan { foreign: Vec::new(), ..plan.clone() };
    refusal(&kept, &OnDisk::default())
}

async fn last(wiring: &Wiring, id: SessionId) -> Result<Sequence, Failure> {
    let tip = wiring.host.ports().log.tip(id).await;
    tip.map(|tip| tip.sequence).map_err(|error| Failure::failed(chain(&error)))
}
