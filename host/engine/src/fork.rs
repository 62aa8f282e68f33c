//! Forking: a session that goes on from an event of another one.
//!
//! Promise: neither log is read whole and nobody needs to hold the origin. A fork's row of the index says what its log says
//! of its folder, its status and its turns. A fork never begins among events that were written elsewhere: what
//! they granted would be in force.
//!
//! Not here: whose events a log begins with (the log port), what a fork's state is (harness-core).

use crate::host::{Host, OpenError};
use crate::load::{LoadError, batch_end, event_at, event_of};
use crate::ports::{Ancestor, EventLog, SessionAppend, SessionStatus, SessionSummary, Takeover};
use crate::storable;
use harness_core::envelope::{SealedEvent, Tip, VerifyError, verify};
use harness_core::event::ForkFiles;
use harness_core::limits::TITLE_CHARS_MAX;
use harness_core::{Digest, Event, Header, Sequence, SessionId};
use std::collections::BTreeSet;

/// Events read at once where the turn under way is looked for.
const TURN_EVENTS_READ: u64 = 64;
/// Events that are looked through for it. Beyond them a row says what its origin's says.
const TURN_EVENTS_MAX: u64 = 4_096;

impl Host {
    /// Begins a session that goes on from where another one was after an event, or is now: its log begins with the
    /// other's events, by reference. The event and everything that derives from the same input count as one. Neither
    /// log is read whole, nobody needs to hold the origin, and a turn under way is taken up by whoever opens the fork.
    /// Refused for an event from before the origin was imported: what was granted and allowed elsewhere would be in force.
    pub async fn fork(
        &self,
        origin: SessionId,
        at: Option<Sequence>,
        files: ForkFiles,
    ) -> Result<SessionId, OpenError> {
        let log = self.ports().log.as_ref();
        let at = self.tip_at(origin, at).await?;
        let mut row = self.ports().index.summary(origin).await.map_err(LoadError::from)?;
        if at.sequence < row.last_sequence {
            row = row_at(log, row, at.sequence).await?;
        }
        let now = self.ports().clock.now();
        let id = SessionId::new(now, &self.ports().ids.entropy());
        let title = fork_title(&row.title);
        let workspace = files.workspace().map_or_else(|| row.workspace.clone(), str::to_owned);
        let event = Event::SessionForked { origin, at: at.sequence, title: title.clone(), files };
        if let Some(problem) = storable::problem(&event) {
            return Err(OpenError::Unstorable(problem));
        }
        let (events, tip) = self.seal_own(id, at, event);
        let summary = SessionSummary {
            session: id,
            title,
            workspace,
            created: now,
            updated: now,
            last_sequence: tip.sequence,
            archived: false,
            parent: None,
            origin: Some(origin),
            ..row
        };
        let epoch = self.ports().lease.acquire(id, self.holder(), Takeover::IfGone).await?;
        let append = SessionAppend::new(id, epoch, at, events);
        let append = SessionAppend { fork_of: Some(origin), summary: Some(summary), ..append };
        let begun = log.append(vec![append]).await;
        self.give_back(id, epoch, begun.is_ok()).await?;
        Ok(begun.map(|()| id)?)
    }

    /// The end of the batch that an event is part of, or of the log, with the hash of its header.
    pub(crate) async fn tip_at(&self, session: SessionId, at: Option<Sequence>) -> Result<Tip, LoadError> {
        let log = self.ports().log.as_ref();
        let tip = log.tip(session).await?;
        let Some(at) = at.filter(|at| *at != tip.sequence) else {
            return if tip == Tip::START { Err(LoadError::Empty(session)) } else { Ok(tip) };
        };
        let missing = LoadError::NoEvent { session, sequence: at };
        if at == Sequence::START || at > tip.sequence {
            return Err(missing);
        }
        let at = batch_end(log, session, at).await?;
        let stored = log.read(session, Sequence(at.0.saturating_sub(1)), 1).await?;
        let header = stored.first().ok_or(missing)?;
        Ok(Tip { sequence: at, hash: Digest::of(&header.header_bytes) })
    }
}

/// A session's row as it was after an earlier event, but for its title, model and usage.
async fn row_at(log: &dyn EventLog, row: SessionSummary, at: Sequence) -> Result<SessionSummary, OpenError> {
    let session = row.session;
    // Where the session's log became another one's: the event after each range of others' events.
    let begun: Vec<Sequence> =
        log.lineage(session).await.map_err(LoadError::from)?.iter().map(|Ancestor { last, .. }| last.next()).collect();
    let mut row = row;
    for beginning in begun.iter().filter(|beginning| **beginning > at) {
        let (header, event) = event_at(log, session, *beginning).await?;
        if header.kind == IMPORTED_KIND {
            return Err(OpenError::WrittenElsewhere { session, last: Sequence(beginning.0.saturating_sub(1)) });
        }
        if matches!(event, Some(Event::SessionForked { files, .. }) if files.workspace().is_some()) {
            row.workspace = workspace_at(log, session, &begun, at).await?.unwrap_or(row.workspace);
        }
    }
    if let Some((status, turns)) = turn_at(log, session, at).await? {
        (row.status, row.turns) = (status, turns);
    }
    Ok(row)
}

/// The kind of an import, in its header.
const IMPORTED_KIND: &str = "session_imported";

/// The folder that a session worked in at an event; none where that was erased.
async fn workspace_at(
    log: &dyn EventLog,
    session: SessionId,
    begun: &[Sequence],
    at: Sequence,
) -> Result<Option<String>, LoadError> {
    for beginning in begun.iter().rev().filter(|beginning| **beginning <= at).chain([&Sequence::START.next()]) {
        match event_at(log, session, *beginning).await?.1 {
            Some(Event::SessionForked { files, .. }) => {
                if let Some(workspace) = files.workspace() {
                    return Ok(Some(workspace.to_owned()));
                }
            }
            Some(Event::SessionImported { workspace, .. } | Event::SessionCreated { workspace, .. }) => {
                return Ok(Some(workspace));
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// What a session was doing after an event, and its turns so far; none where its last turn began too long ago.
async fn turn_at(
    log: &dyn EventLog,
    session: SessionId,
    at: Sequence,
) -> Result<Option<(SessionStatus, u32)>, LoadError> {
    let first = at.0.saturating_sub(TURN_EVENTS_MAX);
    let mut looking = Looking::default();
    let mut end = at.0;
    while end > first {
        let begin = end.saturating_sub(TURN_EVENTS_READ).max(first);
        let count = usize::try_from(end - begin).unwrap_or(usize::MAX);
        let page = log.read(session, Sequence(begin), count).await?;
        for (before, stored) in (begin..).zip(page).collect::<Vec<_>>().into_iter().rev() {
            let before = Sequence(before);
            let damaged = |source| LoadError::Damaged { session, after: before, source };
            let header: Header =
                serde_json::from_slice(&stored.header_bytes).map_err(VerifyError::Header).map_err(damaged)?;
            let tip = Tip { sequence: before, hash: header.previous };
            let (sealed, _) = verify(tip, stored.header_bytes, stored.payload).map_err(damaged)?;
            if let Some(found) = looking.back(session, &sealed)? {
                return Ok(Some(found));
            }
        }
        end = begin;
    }
    Ok((first == 0).then(|| (looking.status.unwrap_or(SessionStatus::Idle), 0)))
}

/// What is known of a turn, read from its end.
#[derive(Default)]
struct Looking {
    /// None while the turn's end was not met.
    status: Option<SessionStatus>,
    /// What was answered or withdrawn.
    over: BTreeSet<String>,
    is_waiting: bool,
}

impl Looking {
    /// Takes the event before; gives what is found once the turn's beginning was met.
    fn back(&mut self, session: SessionId, sealed: &SealedEvent) -> Result<Option<(SessionStatus, u32)>, LoadError> {
        // Of most events nothing but the kind is read.
        if !is_told(&sealed.header.kind) {
            return Ok(None);
        }
        let Some(event) = event_of(session, sealed)? else { return Ok(None) };
        match &event {
            Event::ApprovalAsked { approval, .. } => self.is_waiting |= !self.over.contains(&approval.to_string()),
            Event::QuestionAsked { question, .. } => self.is_waiting |= !self.over.contains(&question.to_string()),
            Event::PlanSubmitted { plan, .. } => self.is_waiting |= !self.over.contains(&plan.to_string()),
            Event::ApprovalAnswered { approval, .. } | Event::ApprovalWithdrawn { approval } => {
                self.over.insert(approval.to_string());
            }
            Event::QuestionAnswered { question, .. } | Event::QuestionWithdrawn { question } => {
                self.over.insert(question.to_string());
            }
            Event::PlanAnswered { plan, .. } | Event::PlanWithdrawn { plan } => {
                self.over.insert(plan.to_string());
            }
            Event::TurnEnded { .. } | Event::SessionRewound { .. } | Event::SessionImported { .. } => {
                self.status.get_or_insert(SessionStatus::Idle);
            }
            Event::TurnStarted { number, .. } => {
                let under_way = if self.is_waiting { SessionStatus::NeedsAnswer } else { SessionStatus::Running };
                return Ok(Some((self.status.unwrap_or(under_way), *number)));
            }
            _ => {}
        }
        Ok(None)
    }
}

/// Whether events of that kind say where a turn stands.
fn is_told(kind: &str) -> bool {
    ["turn_", "approval_", "question_", "plan_"].iter().any(|of| kind.starts_with(of))
        || ["session_rewound", IMPORTED_KIND].contains(&kind)
}

/// What a fork is called.
fn fork_title(origin: &str) -> String {
    const ENDING: &str = " (fork)";
    let room = TITLE_CHARS_MAX.saturating_sub(ENDING.len());
    format!("{}{ENDING}", origin.chars().take(room).collect::<String>())
}
