//! Replaying a log: the core, fed with the recorded inputs, has to say the same again.
//!
//! Promise: nothing is written, no checkpoint is believed, and the first difference is named with both sides; events are
//! compared byte for byte.
//!
//! Not here: running calls again (harness-wasm), the chain (`load`).

use crate::host::Host;
use crate::load::{LoadError, LoadedSession, Walk, check_end, end_of, event_of, load_to};
use crate::ports::StoreError;
use harness_core::envelope::SealedEvent;
use harness_core::{
    CORE_VERSION, Decision, Digest, Event, Fold, Origin, Refusal, Sequence, SessionId, SessionState, decide,
    decide_rewind,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Contents whose names are read at once.
const NAMES_MAX: usize = 500;

/// What a whole log turned out to be.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// Its events.
    pub events: u64,
    /// The hash of its last header.
    pub head: Digest,
    /// Events whose content was erased: nothing after the first of them can be folded.
    pub erased: Vec<Sequence>,
    /// Contents that its events name and that are kept whole.
    pub contents: u64,
    /// Contents that are damaged.
    pub contents_damaged: Vec<Digest>,
    /// Where the head that was asked about stands; none where it is not in the log.
    pub known_head_at: Option<Sequence>,
    /// What a session is loaded as is what its whole log says.
    pub is_loaded_as_logged: bool,
}

/// The first place where a replay came to something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The event.
    pub at: Sequence,
    /// What the log has, JSON; none where it has no such event.
    pub logged: Option<String>,
    /// What the core says now; none where nothing.
    pub decided: Option<String>,
    /// Why the core declined the input, where it did.
    pub refusal: Option<String>,
    /// The version of the core that wrote the event.
    pub core: u32,
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Inputs that were fed to the core.
    pub inputs: u64,
    /// Events that came out the same, inputs included.
    pub events: u64,
    /// The version of this core.
    pub core: u32,
    /// Other versions that wrote events, with how many each wrote.
    pub other_cores: BTreeMap<u32, u64>,
    /// The first erased event: what comes after it cannot be replayed.
    pub erased: Option<Sequence>,
    /// The first difference.
    pub difference: Option<Difference>,
}

impl Host {
    /// Looks at a whole log: the chain, the order, the fold, and the contents that its events name. `known_head` is the
    /// hash of a header that was its last one once: a log that was cut does not have it any more. Of a session that is
    /// being written the log as it is now.
    pub async fn verify_whole(&self, id: SessionId, known_head: Option<Digest>) -> Result<Verified, LoadError> {
        let log = self.ports().log.as_ref();
        let end = end_of(log, id).await?;
        let rewinds = Walk::open(log, id).await?.up_to(end.sequence).rewinds().await?;
        let mut walk = Walk::open(log, id).await?.up_to(end.sequence);
        let mut fold = Fold::new(SessionState::default(), Sequence::START, rewinds);
        let (mut erased, mut known_head_at) = (Vec::new(), None);
        loop {
            let page = walk.page().await?;
            if page.is_empty() {
                break;
            }
            for sealed in page {
                let sequence = sealed.header.sequence;
                if known_head == Some(Digest::of(&sealed.header_bytes)) {
                    known_head_at = Some(sequence);
                }
                match event_of(id, &sealed)? {
                    None => erased.push(sequence),
                    Some(event) if erased.is_empty() => fold
                        .apply(&event)
                        .map_err(|source| LoadError::Inconsistent { session: id, sequence, source })?,
                    Some(_) => {}
                }
            }
        }
        check_end(id, &walk, end)?;
        let loaded_as_logged = |loaded: LoadedSession| loaded.state == *fold.state();
        let is_loaded_as_logged = !erased.is_empty()
            || load_to(log, id, end.sequence).await.is_ok_and(|(loaded, _)| loaded_as_logged(loaded));
        let (contents, contents_damaged) = self.verify_contents(id).await?;
        let (events, head) = (walk.tip.sequence.0, walk.tip.hash);
        Ok(Verified { events, head, erased, contents, contents_damaged, known_head_at, is_loaded_as_logged })
    }

    async fn verify_contents(&self, id: SessionId) -> Result<(u64, Vec<Digest>), LoadError> {
        let blobs = self.ports().blobs.as_ref();
        let (mut after, mut whole, mut damaged) = (None, 0, Vec::new());
        loop {
            let names = blobs.named_by(id, after, NAMES_MAX).await?;
            let Some(last) = names.last() else { return Ok((whole, damaged)) };
            after = Some(*last);
            for digest in names {
                match blobs.get(digest).await {
                    // What is not kept any more is known to be gone.
                    Ok(content) => whole += u64::from(content.is_some()),
                    Err(StoreError::Damaged(_)) => damaged.push(digest),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Feeds the recorded inputs to the core again, up to the first difference.
    pub async fn replay(&self, id: SessionId) -> Result<Replayed, LoadError> {
        let log = self.ports().log.as_ref();
        let end = end_of(log, id).await?;
        let rewinds = Walk::open(log, id).await?.up_to(end.sequence).rewinds().await?;
        let mut walk = Walk::open(log, id).await?.up_to(end.sequence);
        let mut replay = Replay::new(id, rewinds);
        loop {
            let page = walk.page().await?;
            let is_end = page.is_empty();
            for sealed in page {
                if replay.take(sealed)? {
                    return Ok(replay.replayed);
                }
            }
            if is_end {
                replay.finish()?;
                return Ok(replay.replayed);
            }
        }
    }
}

/// A replay under way.
struct Replay {
    id: SessionId,
    state: SessionState,
    /// What rewinds go back to; none where it is not there yet.
    wanted: BTreeMap<Sequence, Option<SessionState>>,
    /// An input with what the log says follows from it.
    batch: Vec<SealedEvent>,
    replayed: Replayed,
}

impl Replay {
    fn new(id: SessionId, rewinds: BTreeSet<Sequence>) -> Self {
        let replayed = Replayed {
            inputs: 0,
            events: 0,
            core: CORE_VERSION,
            other_cores: BTreeMap::new(),
            erased: None,
            difference: None,
        };
        let wanted = rewinds.into_iter().map(|to| (to, None)).collect();
        Self { id, state: SessionState::default(), wanted, batch: Vec::new(), replayed }
    }

    /// Takes the next event. Whether the replay is over.
    fn take(&mut self, sealed: SealedEvent) -> Result<bool, LoadError> {
        if sealed.header.core != CORE_VERSION {
            let count = self.replayed.other_cores.entry(sealed.header.core).or_default();
            *count = count.saturating_add(1);
        }
        if sealed.header.origin == Origin::Input && self.finish()? {
            return Ok(true);
        }
        if sealed.payload.is_none() {
            self.replayed.erased = Some(sealed.header.sequence);
            return Ok(true);
        }
        self.batch.push(sealed);
        Ok(false)
    }

    /// Feeds the batch's input to the core and compares. Whether there is a difference.
    fn finish(&mut self) -> Result<bool, LoadError> {
        let batch = std::mem::take(&mut self.batch);
        let Some(first) = batch.first() else { return Ok(false) };
        let Some(input) = event_of(self.id, first)? else { return Ok(false) };
        // Ids are derived from the session that the event was written in.
        let session = first.header.session;
        let begin = first.header.sequence;
        let decided = match &input {
            Event::SessionRewound { to } => match self.wanted.get(to).and_then(Option::as_ref) {
                Some(past) => decide_rewind(&mut self.state, *to, past.clone()),
                None => Err(Refusal::NoEvent(*to)),
            },
            _ => decide(&mut self.state, session, input),
        };
        self.replayed.inputs = self.replayed.inputs.saturating_add(1);
        self.replayed.difference = difference(&batch, &decided);
        if self.replayed.difference.is_some() {
            return Ok(true);
        }
        self.replayed.events = self.replayed.events.saturating_add(batch.len() as u64);
        let end = Sequence(begin.0.saturating_add(batch.len() as u64).saturating_sub(1));
        if let Some(wanted) = self.wanted.get_mut(&end) {
            *wanted = Some(self.state.clone());
        }
        Ok(false)
    }
}

/// The first event that is not the same.
fn difference(batch: &[SealedEvent], decided: &Result<Decision, Refusal>) -> Option<Difference> {
    let first = batch.first()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let logged = |sealed: &SealedEvent| sealed.payload.as_ref().map(|payload| text(&payload.bytes));
    let (at, core) = (first.header.sequence, first.header.core);
    let decision = match decided {
        Ok(decision) => decision,
        Err(refusal) => {
            let refusal = Some(refusal.to_string());
            return Some(Difference { at, logged: logged(first), decided: None, refusal, core });
        }
    };
    let events = decision.events.iter().map(Event::encode).collect::<Vec<_>>();
    for index in 0..batch.len().max(events.len()) {
        let (sealed, event) = (batch.get(index), events.get(index));
        let bytes = sealed.and_then(|sealed| sealed.payload.as_ref()).map(|payload| &payload.bytes);
        if bytes != event {
            let at = Sequence(at.0.saturating_add(index as u64));
            let core = sealed.map_or(core, |sealed| sealed.header.core);
            let decided = event.map(|event| text(event));
            return Some(Difference { at, logged: sealed.and_then(logged), decided, refusal: None, core });
        }
    }
    None
}
