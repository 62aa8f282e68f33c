//! What calls changed, read from the log, and taking it back.
//!
//! Promise: a plan says exactly what would be put in place, what cannot be, and what stays (requests,
//! values). Only a plan that is still what would be done now is carried out, all of it or nothing: a file that
//! somebody else changed since is a conflict, and a content that is not kept any more is named before anything
//! is touched.
//!
//! Not here: putting in place (the hand), keeping before-images (the log's contents), what of it is shown.

use crate::host::{Host, OpenError};
use crate::load::{LoadError, read_all};
use crate::ports::{Blobs, EventLog, Hands, StoreError, Takeover};
use crate::session::{Session, SessionError, Subscription, Update};
use crate::storable;
use harness_core::change::{Change, FileState, Manifest};
use harness_core::event::ApplyResult;
use harness_core::record::{KvWrite, RequestMade};
use harness_core::{CallId, CallUsage, Event, Sequence, SessionId, TurnId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a call came to and did, as the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallChanges {
    /// The call.
    pub call: CallId,
    /// The call that needed it; none where the model asked for it.
    pub parent: Option<CallId>,
    /// The turn it was part of.
    pub turn: TurnId,
    /// That turn's number in the session, from 1.
    pub turn_number: u32,
    /// The tool.
    pub tool: String,
    /// The event that says so.
    pub ended: Sequence,
    /// The outcome in one word.
    pub outcome: String,
    /// What was put in place, or found changed.
    pub changes: Manifest,
    /// Its requests, in the order they were made, of all the times it was run.
    pub requests: Vec<RequestMade>,
    /// Its kv writes that are in force, in order.
    pub kv: Vec<KvWrite>,
    /// What it used: fuel and time of all the times it was run, the largest memory.
    pub usage: CallUsage,
    /// Whether its changes were taken back.
    pub undone: bool,
    /// The event that says so.
    pub undone_at: Option<Sequence>,
}

/// Which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// One, and those that it needed.
    Call(CallId),
    /// Those of a turn, by its number.
    Turn(u32),
    /// Those that ended after an event.
    After(Sequence),
    /// All of the session.
    All,
}

/// What several calls changed together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Net {
    /// From what was there before the first to what was there after the last.
    pub manifest: Manifest,
    /// Paths that somebody else changed between two of them.
    pub foreign: Vec<String>,
}

/// What taking changes back would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoPlan {
    /// What was asked for.
    pub selection: Selection,
    /// The calls whose changes are taken back, in the order in which they ended; those that changed no file
    /// or were undone before are not among them.
    pub of: Vec<CallId>,
    /// What would be put in place.
    pub manifest: Manifest,
    /// Paths whose content from before is not kept any more: nothing can be taken back.
    pub missing: Vec<String>,
    /// Paths that somebody else changed between two of the calls: nothing can be taken back at once.
    pub foreign: Vec<String>,
    /// Requests of the selected calls: they stay made.
    pub requests: Vec<RequestMade>,
    /// Kv writes of the selected calls: they stay in force.
    pub kv: Vec<KvWrite>,
    /// Of what came after an event: paths of calls before it whose changes were taken back since. They stay so.
    pub stay_undone: Vec<String>,
}

/// Why changes were not taken back. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// The session's log could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The session could not be opened, or a turn is under way in it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The session declined or stopped.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The contents could not be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such call or turn.
    #[error("the session has no {0} that ended")]
    Unknown(String),
    /// What would be done is not what was planned.
    #[error("the plan is not what would be undone now: look again")]
    Stale,
    /// Some contents from before are not kept any more.
    #[error("the content from before is not kept any more: {}", .0.join(", "))]
    NotKept(Vec<String>),
    /// Somebody else changed some files between the calls.
    #[error("changed by somebody else between these calls: {}. Undo them one by one, the last first", .0.join(", "))]
    Foreign(Vec<String>),
    /// The reverse is too large for the log.
    #[error("what would be put in place cannot be logged: {0}. Undo fewer calls at once")]
    Unstorable(String),
}

/// What calls changed together, in the order in which they ended.
pub fn net<'a>(calls: impl IntoIterator<Item = &'a CallChanges>) -> Net {
    let mut paths: BTreeMap<&str, (&Option<FileState>, &Option<FileState>)> = BTreeMap::new();
    let mut foreign = Vec::new();
    for change in calls.into_iter().flat_map(|call| call.changes.entries()) {
        let Change { path, before, after } = change;
        let (_, last) = paths.entry(path).or_insert((before, before));
        if *last != before && !foreign.contains(path) {
            foreign.push(path.clone());
        }
        *last = after;
    }
    let change = |(path, (before, after)): (&str, (&Option<FileState>, &Option<FileState>))| Change {
        path: path.to_owned(),
        before: before.clone(),
        after: after.clone(),
    };
    Net { manifest: Manifest::new(paths.into_iter().map(change).collect()), foreign }
}

/// Reads what the calls of a session did, in the order in which they ended.
async fn calls(log: &dyn EventLog, session: SessionId) -> Result<Vec<CallChanges>, LoadError> {
    let mut reading = Reading::default();
    read_all(log, session, |header, event| {
        reading.take(header.sequence, event);
        Ok(())
    })
    .await?;
    Ok(reading.ended)
}

#[derive(Default)]
struct Reading {
    turn: Option<(TurnId, u32)>,
    open: HashMap<CallId, (CallChanges, Vec<KvWrite>)>,
    ended: Vec<CallChanges>,
}

impl Reading {
    fn take(&mut self, sequence: Sequence, event: Event) {
        match event {
            Event::TurnStarted { turn, number, .. } => self.turn = Some((turn, number)),
            Event::CallRequested { call, tool, parent, .. } => {
                let Some((turn, turn_number)) = self.turn else { return };
                let (outcome, changes) = (String::new(), Manifest::default());
                let (requests, kv, usage) = (Vec::new(), Vec::new(), CallUsage::default());
                let begun = CallChanges {
                    call,
                    parent,
                    turn,
                    turn_number,
                    tool,
                    ended: Sequence::START,
                    outcome,
                    changes,
                    requests,
                    kv,
                    usage,
                    undone: false,
                    undone_at: None,
                };
                self.open.insert(call, (begun, Vec::new()));
            }
            Event::CallReported { call, usage, record, .. } => {
                let Some((changes, writes)) = self.open.get_mut(&call) else { return };
                changes.usage.fuel = changes.usage.fuel.saturating_add(usage.fuel);
                changes.usage.time_us = changes.usage.time_us.saturating_add(usage.time_us);
                changes.usage.memory_bytes = changes.usage.memory_bytes.max(usage.memory_bytes);
                changes.requests.extend(record.requests);
                *writes = record.kv;
            }
            Event::KvWritten { call } => {
                if let Some((changes, writes)) = self.open.get_mut(&call) {
                    changes.kv = std::mem::take(writes);
                }
            }
            Event::CallEnded { call, outcome, changes, .. } => {
                if let Some((begun, _)) = self.open.remove(&call) {
                    self.ended.push(CallChanges { ended: sequence, outcome, changes, ..begun });
                }
            }
            Event::ChangesUndone { of, result: ApplyResult::Applied, .. } => {
                for call in self.ended.iter_mut().filter(|call| of.contains(&call.call)) {
                    (call.undone, call.undone_at) = (true, Some(sequence));
                }
            }
            _ => {}
        }
    }
}

/// The selected calls, those that they needed included.
fn selected(calls: &[CallChanges], selection: Selection) -> Result<Vec<&CallChanges>, UndoError> {
    let unknown = |what: String| Err(UndoError::Unknown(what));
    match selection {
        Selection::All => Ok(calls.iter().collect()),
        Selection::After(event) => Ok(calls.iter().filter(|call| call.ended > event).collect()),
        Selection::Turn(number) => {
            let of_turn: Vec<_> = calls.iter().filter(|call| call.turn_number == number).collect();
            if of_turn.is_empty() { unknown(format!("call of turn {number}")) } else { Ok(of_turn) }
        }
        Selection::Call(id) => {
            if !calls.iter().any(|call| call.call == id) {
                return unknown(format!("call {id}"));
            }
            let parents: HashMap<CallId, CallId> =
                calls.iter().filter_map(|call| Some((call.call, call.parent?))).collect();
            let belongs = |call: &&CallChanges| {
                let mut chain = std::iter::successors(Some(call.call), |it| parents.get(it).copied());
                chain.any(|it| it == id)
            };
            Ok(calls.iter().filter(belongs).collect())
        }
    }
}

/// Paths that calls before an event changed, where that was taken back after it.
fn stay_undone(calls: &[CallChanges], selection: Selection) -> Vec<String> {
    let Selection::After(event) = selection else { return Vec::new() };
    let was_in_place = |call: &&CallChanges| call.ended <= event && call.undone_at.is_some_and(|undone| undone > event);
    net(calls.iter().filter(was_in_place)).manifest.entries().iter().map(|change| change.path.clone()).collect()
}

/// Plans what taking back the changes of these calls would do.
async fn plan(
    log: &dyn EventLog,
    blobs: &dyn Blobs,
    session: SessionId,
    selection: Selection,
) -> Result<UndoPlan, UndoError> {
    let calls = calls(log, session).await?;
    let selected = selected(&calls, selection)?;
    let changing: Vec<&CallChanges> =
        selected.iter().copied().filter(|call| !call.undone && !call.changes.is_empty()).collect();
    let Net { manifest, foreign } = net(changing.iter().copied());
    let reversed = manifest.entries().iter().map(|Change { path, before, after }| Change {
        path: path.clone(),
        before: after.clone(),
        after: before.clone(),
    });
    let manifest = Manifest::new(reversed.collect());
    let mut missing = Vec::new();
    for change in manifest.entries() {
        let Some((digest, _)) = change.after.as_ref().and_then(FileState::content) else { continue };
        match blobs.get(digest).await {
            Ok(Some(_)) => {}
            Ok(None) | Err(StoreError::Damaged(_)) => missing.push(change.path.clone()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(UndoPlan {
        selection,
        of: changing.iter().map(|call| call.call).collect(),
        manifest,
        missing,
        foreign,
        requests: selected.iter().flat_map(|call| call.requests.iter().cloned()).collect(),
        kv: selected.iter().flat_map(|call| call.kv.iter().cloned()).collect(),
        stay_undone: stay_undone(&calls, selection),
    })
}

impl Host {
    /// What the calls of a session did, in the order in which they ended.
    pub async fn changes(&self, id: SessionId) -> Result<Vec<CallChanges>, LoadError> {
        calls(self.ports().log.as_ref(), id).await
    }

    /// Plans what taking back the changes of these calls would do. Changes nothing and needs no lease.
    pub async fn plan_undo(&self, id: SessionId, selection: Selection) -> Result<UndoPlan, UndoError> {
        plan(self.ports().log.as_ref(), self.ports().blobs.as_ref(), id, selection).await
    }

    /// Takes back what a plan says, in a session that is not open here. Nothing that is under way in it is taken
    /// up: where a turn is, this is refused.
    pub async fn undo(
        &self,
        id: SessionId,
        plan: &UndoPlan,
        hands: Arc<dyn Hands>,
        takeover: Takeover,
    ) -> Result<ApplyResult, UndoError> {
        let session = self.open_idle(id, hands, takeover).await?;
        let undone = session.undo(plan).await;
        session.close().await;
        undone
    }

    /// Goes back to an event as [`Session::rewind`] does, in a session that is not open here, after taking back what
    /// `files` says. Nothing is gone back to where that cannot be taken back. Gives the last event that counts.
    pub async fn rewind(
        &self,
        id: SessionId,
        to: Sequence,
        files: Option<Files<'_>>,
        hands: Arc<dyn Hands>,
        takeover: Takeover,
    ) -> Result<Result<Sequence, ApplyResult>, UndoError> {
        let session = self.open_idle(id, hands, takeover).await?;
        let undone = match files {
            Some(Files { plan, over }) if !plan.of.is_empty() && !plan.manifest.is_empty() => {
                session.undo_over(plan, over).await
            }
            _ => Ok(ApplyResult::Applied),
        };
        let rewound = match undone {
            Ok(ApplyResult::Applied) => session.rewind(to).await.map(Ok).map_err(UndoError::from),
            Ok(other) => Ok(Err(other)),
            Err(error) => Err(error),
        };
        session.close().await;
        rewound
    }
}

/// The files that a rewind takes back.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// What is taken back.
    pub plan: &'a UndoPlan,
    /// See [`Session::undo_over`].
    pub over: Option<&'a Standing>,
}

/// What stands at paths now, as a person was shown; none where nothing is.
pub type Standing = BTreeMap<String, Option<FileState>>;

impl Session {
    /// Takes back what a plan says. Gives how that went: all of it is in place, or nothing was changed.
    pub async fn undo(&self, planned: &UndoPlan) -> Result<ApplyResult, UndoError> {
        self.undo_over(planned, None).await
    }

    /// The same, over what somebody else made of these paths: what `over` says stands there is replaced, and not kept.
    /// Where something else stands by then it is a conflict as ever.
    pub async fn undo_over(&self, planned: &UndoPlan, over: Option<&Standing>) -> Result<ApplyResult, UndoError> {
        // One that a crash interrupted is finished first.
        let before = self.snapshot().await?;
        if let Some(undoing) = before.state.undoing {
            undone(self.subscribe(before.tip.sequence), undoing.undo).await?;
        }
        let fresh = plan(self.log.as_ref(), self.blobs.as_ref(), self.id, planned.selection).await?;
        if fresh != *planned {
            return Err(UndoError::Stale);
        }
        if !fresh.foreign.is_empty() && over.is_none() {
            return Err(UndoError::Foreign(fresh.foreign));
        }
        if !fresh.missing.is_empty() {
            return Err(UndoError::NotKept(fresh.missing));
        }
        let undo = CallId::from_bits(u128::from_be_bytes(self.ids.entropy()));
        let manifest = match over {
            Some(standing) => stands_on(fresh.manifest, standing),
            None => fresh.manifest,
        };
        let event = Event::UndoRequested { undo, of: fresh.of, manifest };
        if let Some(problem) = storable::problem(&event) {
            return Err(UndoError::Unstorable(problem));
        }
        let updates = self.subscribe(self.snapshot().await?.tip.sequence);
        self.tell(event).await?;
        Ok(undone(updates, undo).await?)
    }
}

/// The same changes, over what stands there.
fn stands_on(manifest: Manifest, standing: &Standing) -> Manifest {
    let entries = manifest.entries().iter().cloned().map(|change| match standing.get(&change.path) {
        Some(before) => Change { before: before.clone(), ..change },
        None => change,
    });
    // What is as it was before already needs no change.
    Manifest::new(entries.filter(|change| change.before != change.after).collect())
}

/// Waits until an undoing has ended; gives how it went.
async fn undone(mut updates: Subscription, undo: CallId) -> Result<ApplyResult, SessionError> {
    loop {
        match updates.next().await? {
            Update::Event(logged) => match &logged.event {
                Some(Event::ChangesUndone { undo: ended, result, .. }) if *ended == undo => return Ok(result.clone()),
                _ => {}
            },
            Update::Delta { .. } | Update::Progress { .. } => {}
            Update::Closed { fault } => return Err(SessionError::Closed(fault)),
        }
    }
}
