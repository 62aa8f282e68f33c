//! Reading a session back: its log verified link by link and folded into its state.
//!
//! Promise: what is loaded is exactly what the log says; a damaged, missing or erased event is named
//! with its position and nothing after it is believed.

use crate::ports::{EventLog, SessionStatus, SessionSummary, StoreError};
use harness_core::envelope::{Lineage, Tip, VerifyError, verify};
use harness_core::state::Inconsistency;
use harness_core::{Event, Header, Sequence, SessionId, SessionState, TenantId, TimeMs};

/// Events read from the log at once.
const PAGE_EVENTS_MAX: usize = 1_000;

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
    /// The time of its first event.
    pub created: TimeMs,
    /// The time of its last event.
    pub updated: TimeMs,
}

impl LoadedSession {
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

/// Reads a session's log and verifies its chain, without believing what it says. Gives its end.
pub(crate) async fn verify_chain(log: &dyn EventLog, session: SessionId) -> Result<Tip, LoadError> {
    let mut tip = Tip::START;
    loop {
        let page = log.read(session, tip.sequence, PAGE_EVENTS_MAX).await?;
        let is_last = page.len() < PAGE_EVENTS_MAX;
        for stored in page {
            let after = tip.sequence;
            let verified = verify(tip, stored.header_bytes, stored.payload);
            (_, tip) = verified.map_err(|source| LoadError::Damaged { session, after, source })?;
        }
        if is_last {
            return if tip == Tip::START { Err(LoadError::Empty(session)) } else { Ok(tip) };
        }
    }
}

/// Reads, verifies and folds a session's log.
pub(crate) async fn load(log: &dyn EventLog, session: SessionId) -> Result<LoadedSession, LoadError> {
    let mut loaded: Option<LoadedSession> = None;
    let tip = read_all(log, session, |header, event| {
        let loaded = loaded.get_or_insert_with(|| LoadedSession {
            state: SessionState::default(),
            tip: Tip::START,
            tenant: header.tenant.clone(),
            lineage: header.lineage,
            created: header.time,
            updated: header.time,
        });
        let sequence = header.sequence;
        loaded.state.apply(&event).map_err(|source| LoadError::Inconsistent { session, sequence, source })?;
        loaded.updated = header.time;
        Ok(())
    })
    .await?;
    let mut loaded = loaded.ok_or(LoadError::Empty(session))?;
    loaded.tip = tip;
    Ok(loaded)
}

/// Reads and verifies a session's log, event by event. Gives its end.
pub(crate) async fn read_all(
    log: &dyn EventLog,
    session: SessionId,
    mut believe: impl FnMut(&Header, Event) -> Result<(), LoadError>,
) -> Result<Tip, LoadError> {
    let mut tip = Tip::START;
    loop {
        let page = log.read(session, tip.sequence, PAGE_EVENTS_MAX).await?;
        let is_last = page.len() < PAGE_EVENTS_MAX;
        for stored in page {
            let after = tip.sequence;
            let damaged = |source| LoadError::Damaged { session, after, source };
            let (sealed, next) = verify(tip, stored.header_bytes, stored.payload).map_err(damaged)?;
            let event = sealed.event().map_err(damaged)?;
            let sequence = sealed.header.sequence;
            if sealed.header.session != session {
                return Err(damaged(VerifyError::Chain(sequence)));
            }
            let event = event.ok_or(LoadError::Erased { session, sequence })?;
            believe(&sealed.header, event)?;
            tip = next;
        }
        if is_last {
            return Ok(tip);
        }
    }
}
