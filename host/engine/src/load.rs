//! Reading a session back: its log verified link by link and folded into its state.
//!
//! Promise: what is loaded is exactly what the log says; a damaged, missing or erased event is named
//! with its position and nothing after it is believed. From a checkpoint on only what follows it is read;
//! one that is odd in any way is as if it were not there.

use crate::checkpoint::{self, Kept};
use crate::ports::{Ancestor, EventLog, SessionStatus, SessionSummary, StoreError, StoredEvent};
use harness_core::envelope::{Lineage, SealedEvent, Tip, VerifyError, verify};
use harness_core::state::Inconsistency;
use harness_core::{Digest, Event, Fold, Header, Origin, Sequence, SessionId, SessionState, TenantId, TimeMs};
use std::collections::BTreeSet;

/// Events read from the log at once.
const PAGE_EVENTS_MAX: usize = 1_000;
/// Events read at once where a batch is looked for.
const BATCH_EVENTS_READ: usize = 32;

/// A session as its log says it is.
#[derive(Debug, Clone)]
pub struct LoadedSession {
    /// The fold of all events.
    pub state: SessionState,
    /// The end of the log.
    pub tip: Tip,
    /// Who owns it.
    pub tenant: TenantId,
    /// Where it stands in the tree of sessions.
    pub lineage: Lineage,
    /// The session that it was forked from or was when it was exported, if any.
    pub origin: Option<SessionId>,
    /// The time of its first event.
    pub created: TimeMs,
    /// The time of its last event.
    pub updated: TimeMs,
}

impl LoadedSession {
    /// A session before its first event, which has that header.
    pub(crate) fn begun(session: SessionId, header: &Header) -> Self {
        Self {
            state: SessionState::default(),
            tip: Tip::START,
            tenant: header.tenant.clone(),
            lineage: if header.session == session { header.lineage } else { Lineage::root_of(session) },
            origin: None,
            created: header.time,
            updated: header.time,
        }
    }

    /// What the session is doing.
    pub fn status(&self) -> SessionStatus {
        match &self.state.turn {
            None if self.state.undoing.is_some() => SessionStatus::Running,
            None => SessionStatus::Idle,
            Some(_)
                if !self.state.pending().is_empty()
                    || !self.state.questions().is_empty()
                    || !self.state.plans().is_empty() =>
            {
                SessionStatus::NeedsAnswer
            }
            Some(_) => SessionStatus::Running,
        }
    }

    /// Its row in the index once its log ends at `tip`.
    pub fn summary(&self, session: SessionId, tip: Tip) -> SessionSummary {
        let state = &self.state;
        SessionSummary {
            session,
            title: state.title.clone().unwrap_or_else(|| "untitled".to_owned()),
            workspace: state.workspace.clone(),
            model: state.context.as_ref().map_or_else(String::new, |context| context.model.to_string()),
            created: self.created,
            updated: self.updated,
            last_sequence: tip.sequence,
            status: self.status(),
            turns: state.turns,
            usage: state.usage,
            archived: state.archived,
            parent: self.lineage.parent,
            origin: self.origin,
        }
    }
}

/// Why a session could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed or does not know it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log has no events.
    #[error("{0} has no events")]
    Empty(SessionId),
    /// The log has no such event.
    #[error("{session} has no event {sequence}")]
    NoEvent {
        /// The session.
        session: SessionId,
        /// The event.
        sequence: Sequence,
    },
    /// An event is not what the chain says.
    #[error("the log of {session} is damaged after event {after}")]
    Damaged {
        /// The session.
        session: SessionId,
        /// The last event that can be believed.
        after: Sequence,
        /// What is wrong with the next.
        source: VerifyError,
    },
    /// A payload was erased.
    #[error(
        "the content of event {sequence} of {session} was erased, so its state cannot be rebuilt beyond that event"
    )]
    Erased {
        /// The session.
        session: SessionId,
        /// The erased event.
        sequence: Sequence,
    },
    /// The events do not make sense together.
    #[error("event {sequence} of {session} cannot be believed")]
    Inconsistent {
        /// The session.
        session: SessionId,
        /// The event.
        sequence: Sequence,
        /// Why.
        source: Inconsistency,
    },
}

/// Reads a log link by link.
///
/// Each header must belong to the session that the recorded lineage names for its place, and the first own event
/// after another session's must say so itself.
pub(crate) struct Walk<'a> {
    log: &'a dyn EventLog,
    session: SessionId,
    lineage: Vec<Ancestor>,
    pub(crate) tip: Tip,
    /// The last event to be read.
    end: Sequence,
}

impl<'a> Walk<'a> {
    /// From the first event to the end.
    pub(crate) async fn open(log: &'a dyn EventLog, session: SessionId) -> Result<Self, LoadError> {
        let lineage = log.lineage(session).await?;
        Ok(Self { log, session, lineage, tip: Tip::START, end: Sequence(u64::MAX) })
    }

    /// The same, up to an event.
    pub(crate) fn up_to(self, end: Sequence) -> Self {
        Self { end, ..self }
    }

    /// The next events, verified; none at the end.
    pub(crate) async fn page(&mut self) -> Result<Vec<SealedEvent>, LoadError> {
        let left = usize::try_from(self.end.0.saturating_sub(self.tip.sequence.0)).unwrap_or(usize::MAX);
        let page = self.log.read(self.session, self.tip.sequence, PAGE_EVENTS_MAX.min(left)).await?;
        page.into_iter().map(|stored| self.verified(stored)).collect()
    }

    fn verified(&mut self, stored: StoredEvent) -> Result<SealedEvent, LoadError> {
        let (session, after) = (self.session, self.tip.sequence);
        let damaged = |source| LoadError::Damaged { session, after, source };
        let (sealed, next) = verify(self.tip, stored.header_bytes, stored.payload).map_err(damaged)?;
        check_owner(session, &self.lineage, &sealed).map_err(damaged)?;
        self.tip = next;
        Ok(sealed)
    }

    /// Whether the log has that header at that place.
    async fn has(&self, tip: Tip) -> Result<bool, LoadError> {
        let Some(before) = tip.sequence.0.checked_sub(1) else { return Ok(false) };
        let stored = self.log.read(self.session, Sequence(before), 1).await?;
        Ok(stored.first().is_some_and(|stored| Digest::of(&stored.header_bytes) == tip.hash))
    }

    /// Events that rewinds among the events from here on go back to.
    pub(crate) async fn rewinds(&mut self) -> Result<BTreeSet<Sequence>, LoadError> {
        let mut found = BTreeSet::new();
        loop {
            let page = self.page().await?;
            if page.is_empty() {
                return Ok(found);
            }
            for sealed in page.iter().filter(|sealed| sealed.header.kind == REWOUND_KIND) {
                if let Some(Event::SessionRewound { to }) = event_of(self.session, sealed)? {
                    found.insert(to);
                }
            }
        }
    }
}

/// The kind of a rewind, in its header.
const REWOUND_KIND: &str = Event::SessionRewound { to: Sequence::START }.kind();

/// Whose event may stand there, and what the first one after another session's must be.
pub(crate) fn check_owner(session: SessionId, lineage: &[Ancestor], sealed: &SealedEvent) -> Result<(), VerifyError> {
    let sequence = sealed.header.sequence;
    let owner = lineage.iter().find(|ancestor| sequence <= ancestor.last).map_or(session, |found| found.session);
    let begins = lineage.iter().any(|ancestor| ancestor.last.next() == sequence);
    let is_told = !begins
        || match (sealed.header.kind.as_str(), sealed.event()?) {
            (_, Some(Event::SessionForked { at, .. } | Event::SessionImported { at, .. })) => at.next() == sequence,
            ("session_forked" | "session_imported", None) => true,
            _ => false,
        };
    if owner == sealed.header.session && is_told { Ok(()) } else { Err(VerifyError::Chain(sequence)) }
}

/// One event of a log, with its header; the chain before it is not looked at.
pub(crate) async fn event_at(
    log: &dyn EventLog,
    session: SessionId,
    sequence: Sequence,
) -> Result<(Header, Option<Event>), LoadError> {
    let after = Sequence(sequence.0.saturating_sub(1));
    let damaged = |source| LoadError::Damaged { session, after, source };
    let stored = log.read(session, after, 1).await?.pop().ok_or(LoadError::NoEvent { session, sequence })?;
    let header: Header = serde_json::from_slice(&stored.header_bytes).map_err(VerifyError::Header).map_err(damaged)?;
    let tip = Tip { sequence: after, hash: header.previous };
    let (sealed, _) = verify(tip, stored.header_bytes, stored.payload).map_err(damaged)?;
    let event = sealed.event().map_err(damaged)?;
    Ok((sealed.header, event))
}

pub(crate) fn event_of(session: SessionId, sealed: &SealedEvent) -> Result<Option<Event>, LoadError> {
    let after = Sequence(sealed.header.sequence.0.saturating_sub(1));
    sealed.event().map_err(|source| LoadError::Damaged { session, after, source })
}

/// Reads a session's log and verifies its chain, without believing what it says. Gives its end. Never looks at a
/// checkpoint.
pub(crate) async fn verify_chain(log: &dyn EventLog, session: SessionId) -> Result<Tip, LoadError> {
    let end = end_of(log, session).await?;
    let mut walk = Walk::open(log, session).await?.up_to(end.sequence);
    while !walk.page().await?.is_empty() {}
    check_end(session, &walk, end)
}

/// Where the store says that a session's log ends now. What is written from here on is left out.
pub(crate) async fn end_of(log: &dyn EventLog, session: SessionId) -> Result<Tip, LoadError> {
    let end = log.tip(session).await?;
    if end == Tip::START { Err(LoadError::Empty(session)) } else { Ok(end) }
}

/// What a walk came to is the end that the store says.
pub(crate) fn check_end(session: SessionId, walk: &Walk<'_>, end: Tip) -> Result<Tip, LoadError> {
    if walk.tip == end {
        return Ok(end);
    }
    let Tip { sequence, hash } = walk.tip;
    Err(LoadError::Store(StoreError::Damaged(format!(
        "{session}: the store says that its log ends with event {}, {}; its events end with event {sequence}, {hash}. \
         Restore a backup",
        end.sequence, end.hash
    ))))
}

/// Reads and verifies a session's log, event by event. Gives its end.
pub(crate) async fn read_all(
    log: &dyn EventLog,
    session: SessionId,
    mut believe: impl FnMut(&Header, Event) -> Result<(), LoadError>,
) -> Result<Tip, LoadError> {
    let mut walk = Walk::open(log, session).await?;
    loop {
        let page = walk.page().await?;
        if page.is_empty() {
            return Ok(walk.tip);
        }
        for sealed in page {
            let sequence = sealed.header.sequence;
            let event = event_of(session, &sealed)?.ok_or(LoadError::Erased { session, sequence })?;
            believe(&sealed.header, event)?;
        }
    }
}

/// Reads, verifies and folds a session's log, from a checkpoint on where there is one.
pub(crate) async fn load(log: &dyn EventLog, session: SessionId) -> Result<LoadedSession, LoadError> {
    Ok(load_to(log, session, Sequence(u64::MAX)).await?.0)
}

/// The same from the first event on, whatever checkpoints there are.
pub(crate) async fn load_whole(log: &dyn EventLog, session: SessionId) -> Result<LoadedSession, LoadError> {
    Ok(load_over(log, session, Sequence(u64::MAX), false).await?.0)
}

/// The same up to an event, which must be there. Also tells what is kept of the session's conversation.
pub(crate) async fn load_to(
    log: &dyn EventLog,
    session: SessionId,
    end: Sequence,
) -> Result<(LoadedSession, Kept), LoadError> {
    load_over(log, session, end, true).await
}

async fn load_over(
    log: &dyn EventLog,
    session: SessionId,
    end: Sequence,
    believes_checkpoints: bool,
) -> Result<(LoadedSession, Kept), LoadError> {
    let lineage = log.lineage(session).await?;
    let mut up_to = end;
    let mut rewinds = BTreeSet::new();
    loop {
        let mut walk = Walk { log, session, lineage: lineage.clone(), tip: Tip::START, end };
        let base = if believes_checkpoints { base(&walk, up_to).await? } else { None };
        let (from, kept) = match base {
            Some((from, kept)) => (Some(from), kept),
            None => (None, Kept::default()),
        };
        walk.tip = from.as_ref().map_or(Tip::START, |from| from.tip);
        let begin = walk.tip.sequence;
        match fold(&mut walk, from, &rewinds).await? {
            Folded::Whole(loaded) if end < Sequence(u64::MAX) && loaded.tip.sequence < end => {
                return Err(LoadError::NoEvent { session, sequence: end });
            }
            Folded::Whole(loaded) => return Ok((*loaded, kept)),
            Folded::Rewound { at, to, source } => {
                let mut again = Walk { log, session, lineage: lineage.clone(), tip: walk.tip, end };
                again.tip = at;
                let mut found = again.rewinds().await?;
                found.insert(to);
                let fresh = found.iter().any(|to| !rewinds.contains(to));
                rewinds.extend(found);
                // What is to be gone back to may lie before the checkpoint: an older one, then.
                match rewinds.first() {
                    Some(first) if *first < begin => up_to = *first,
                    _ if fresh => {}
                    _ => return Err(LoadError::Inconsistent { session, sequence: at.sequence.next(), source }),
                }
            }
        }
    }
}

/// The newest checkpoint that stands in the log: the session's own, or of a session whose events it begins with.
async fn base(walk: &Walk<'_>, up_to: Sequence) -> Result<Option<(LoadedSession, Kept)>, LoadError> {
    let own = Ancestor { session: walk.session, last: up_to };
    for holder in std::iter::once(&own).chain(walk.lineage.iter().rev()) {
        let Ok(Some(checkpoint)) = walk.log.checkpoint(holder.session, up_to.min(holder.last)).await else { continue };
        let tip = checkpoint.tip;
        let stands = tip.sequence <= up_to.min(holder.last) && walk.has(tip).await?;
        let read = if stands { checkpoint::read(walk.log, holder.session, checkpoint).await } else { None };
        match read {
            Some((loaded, kept)) if holder.session == walk.session => return Ok(Some((loaded, kept))),
            // Its segments are another session's: this one has none.
            Some((loaded, _)) => {
                let lineage = Lineage::root_of(walk.session);
                return Ok(Some((LoadedSession { lineage, origin: None, ..loaded }, Kept::default())));
            }
            None => {
                tracing::debug!(session = %walk.session, sequence = %tip.sequence, "a checkpoint was not used");
            }
        }
    }
    Ok(None)
}

/// How far a fold came.
enum Folded {
    /// To the end.
    Whole(Box<LoadedSession>),
    /// To a rewind, after `at`, whose past was not remembered.
    Rewound { at: Tip, to: Sequence, source: Inconsistency },
}

async fn fold(
    walk: &mut Walk<'_>,
    from: Option<LoadedSession>,
    rewinds: &BTreeSet<Sequence>,
) -> Result<Folded, LoadError> {
    let session = walk.session;
    let mut loaded = from;
    let state = loaded.as_mut().map_or_else(SessionState::default, |loaded| std::mem::take(&mut loaded.state));
    let begin = walk.tip;
    let mut fold = Fold::new(state, begin.sequence, rewinds.iter().copied());
    let mut at = begin;
    loop {
        let page = walk.page().await?;
        if page.is_empty() {
            break;
        }
        for sealed in page {
            let (header, sequence) = (&sealed.header, sealed.header.sequence);
            let event = event_of(session, &sealed)?.ok_or(LoadError::Erased { session, sequence })?;
            match (fold.apply(&event), &event) {
                (Err(source), Event::SessionRewound { to }) => return Ok(Folded::Rewound { at, to: *to, source }),
                (applied, _) => {
                    applied.map_err(|source| LoadError::Inconsistent { session, sequence, source })?;
                }
            }
            at = Tip { sequence, hash: Digest::of(&sealed.header_bytes) };
            let loaded = loaded.get_or_insert_with(|| LoadedSession::begun(session, header));
            loaded.updated = header.time;
            if let Event::SessionForked { origin, .. } | Event::SessionImported { origin, .. } = &event {
                (loaded.origin, loaded.created) = (Some(*origin), header.time);
            }
            if header.session == session {
                loaded.lineage = header.lineage;
            }
        }
    }
    let mut loaded = loaded.ok_or(LoadError::Empty(session))?;
    loaded.state = fold.into_state();
    loaded.tip = walk.tip;
    Ok(Folded::Whole(Box::new(loaded)))
}

/// The last event of the batch that an event is part of: an input and what derives from it stand or fall together.
pub(crate) async fn batch_end(log: &dyn EventLog, session: SessionId, at: Sequence) -> Result<Sequence, LoadError> {
    let mut end = at;
    loop {
        let page = log.read(session, end, BATCH_EVENTS_READ).await?;
        let is_last = page.len() < BATCH_EVENTS_READ;
        for stored in page {
            let header: Header = serde_json::from_slice(&stored.header_bytes).map_err(|error| LoadError::Damaged {
                session,
                after: end,
                source: VerifyError::Header(error),
            })?;
            if header.origin == Origin::Input {
                return Ok(end);
            }
            end = end.next();
        }
        if is_last {
            return Ok(end);
        }
    }
}
