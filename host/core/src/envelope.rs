//! The envelope of an event: who, when, why, and the chain that makes a changed log show.
//!
//! Promise: the header's canonical bytes are what is stored and hashed; each header names the hash of
//! the one before it and the salted digest of its payload, so that a payload can be erased and the
//! chain still verifies. The first shape of this format is version 1; a released shape never changes.

use crate::CORE_VERSION;
use crate::event::{DecodeEventError, Event};
use crate::ids::{CallId, Digest, Sequence, SessionId, TenantId, TimeMs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "actor", content = "name", rename_all = "snake_case")]
pub enum Actor {
    /// A person or service, by name.
    Principal(String),
    /// A model, as `provider/name`.
    Model(String),
    /// A component or other hand, by the name of the tool it ran.
    Component(String),
    /// The host itself.
    Host,
}

/// Whether an event came from outside or follows from one that did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// From outside: recorded, so that a replay can be fed with it.
    Input,
    /// Follows from the input that `cause` names.
    Derived,
}

/// Where a session stands in the tree of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lineage {
    /// The session that started this one, if any.
    pub parent: Option<SessionId>,
    /// The call of the parent that started it, if any.
    pub parent_call: Option<CallId>,
    /// The session at the top of the tree; itself if it has no parent.
    pub root: SessionId,
    /// Distance from the root.
    pub depth: u8,
}

impl Lineage {
    /// A session that nobody started but a person.
    pub const fn root_of(session: SessionId) -> Self {
        Self { parent: None, parent_call: None, root: session, depth: 0 }
    }
}

/// The header of an event. Its JSON, in this order of fields, is its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// Version of this envelope.
    pub v: u16,
    /// Who owns the session.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// Position in the session's log, gap-free from 1.
    pub sequence: Sequence,
    /// When its input was taken up.
    pub time: TimeMs,
    /// Who caused it.
    pub actor: Actor,
    /// The event's kind, as in its payload.
    pub kind: String,
    /// From outside or derived.
    pub origin: Origin,
    /// The input it follows from; none for an input.
    pub cause: Option<Sequence>,
    /// Version of the rules that derived it.
    pub core: u32,
    /// SHA-256 over salt and payload.
    pub payload: Digest,
    /// SHA-256 over the previous header's canonical bytes; zero for the first.
    pub previous: Digest,
    /// Parent, root and depth.
    #[serde(flatten)]
    pub lineage: Lineage,
}

/// The version of the envelope that this code writes.
pub const ENVELOPE_VERSION: u16 = 1;

/// The end of a session's log: what the next event must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The last event's position.
    pub sequence: Sequence,
    /// The hash of the last header's canonical bytes.
    pub hash: Digest,
}

impl Tip {
    /// Before the first event.
    pub const START: Self = Self { sequence: Sequence::START, hash: Digest::ZERO };
}

/// A payload with the salt that keeps its digest from being guessed after it was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// 16 random bytes.
    pub salt: [u8; 16],
    /// The event's JSON.
    pub bytes: Vec<u8>,
}

impl Payload {
    /// The digest that the header carries.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(&[&self.salt, &self.bytes])
    }
}

/// An event as it is stored: exact bytes and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEvent {
    /// The header.
    pub header: Header,
    /// The header's canonical bytes.
    pub header_bytes: Vec<u8>,
    /// The payload; none where it was erased.
    pub payload: Option<Payload>,
}

/// What says whether the rest of a header can be understood.
#[derive(Deserialize)]
struct EnvelopeVersion {
    v: u16,
}

/// Why a stored event cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The header is not JSON of a known shape.
    #[error("the header is damaged: {0}")]
    Header(serde_json::Error),
    /// An envelope of a version this host does not know.
    #[error("envelope version {0} is newer than this host understands ({ENVELOPE_VERSION})")]
    Version(u16),
    /// Written by rules that this host does not know.
    #[error("the event was written by core version {0}, newer than this host's ({CORE_VERSION}): use a newer host")]
    Core(u32),
    /// Not the position that follows the one before.
    #[error("event {found} stands where {expected} should")]
    Sequence {
        /// What stands there.
        found: Sequence,
        /// What should.
        expected: Sequence,
    },
    /// The header before it was changed, or this one belongs elsewhere.
    #[error("event {0} does not follow the header before it: the log was changed")]
    Chain(Sequence),
    /// The payload is not the one the header was written with.
    #[error("the payload of event {0} is not the one it was written with")]
    Payload(Sequence),
    /// The payload has another kind than the header says, or does not decode.
    #[error("the payload of event {sequence} cannot be read")]
    Event {
        /// Which event.
        sequence: Sequence,
        /// Why.
        source: DecodeEventError,
    },
}

/// What sealing needs to know of a session and an input.
#[derive(Debug, Clone)]
pub struct SealContext {
    /// Who owns the session.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// Where it stands in the tree.
    pub lineage: Lineage,
    /// When the input was taken up.
    pub time: TimeMs,
    /// Who sent the input.
    pub actor: Actor,
}

/// Seals a batch: the first event is the input, the others derive from it. `salts` gives one salt per event.
pub fn seal(
    tip: Tip,
    context: &SealContext,
    events: &[Event],
    mut salts: impl FnMut() -> [u8; 16],
) -> (Vec<SealedEvent>, Tip) {
    let input = tip.sequence.next();
    let mut tip = tip;
    let mut sealed = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let payload = Payload { salt: salts(), bytes: event.encode() };
        let is_input = index == 0;
        let header = Header {
            v: ENVELOPE_VERSION,
            tenant: context.tenant.clone(),
            session: context.session,
            sequence: tip.sequence.next(),
            time: context.time,
            actor: if is_input { context.actor.clone() } else { Actor::Host },
            kind: event.kind().to_owned(),
            origin: if is_input { Origin::Input } else { Origin::Derived },
            cause: (!is_input).then_some(input),
            core: CORE_VERSION,
            payload: payload.digest(),
            previous: tip.hash,
            lineage: context.lineage,
        };
        let header_bytes = canonical(&header);
        tip = Tip { sequence: header.sequence, hash: Digest::of(&header_bytes) };
        sealed.push(SealedEvent { header, header_bytes, payload: Some(payload) });
    }
    (sealed, tip)
}

fn canonical(header: &Header) -> Vec<u8> {
    // A struct of strings, numbers and ids has no value that JSON cannot hold.
    serde_json::to_vec(header).unwrap_or_default()
}

/// Rebuilds a stored event from its bytes and checks it against the tip before it.
/// Gives the tip after it.
pub fn verify(tip: Tip, header_bytes: Vec<u8>, payload: Option<Payload>) -> Result<(SealedEvent, Tip), VerifyError> {
    let header: Header = serde_json::from_slice(&header_bytes).map_err(|error| {
        // A newer envelope may have another shape: say that it is newer rather than damaged.
        match serde_json::from_slice::<EnvelopeVersion>(&header_bytes) {
            Ok(EnvelopeVersion { v }) if v > ENVELOPE_VERSION => VerifyError::Version(v),
            _ => VerifyError::Header(error),
        }
    })?;
    if header.v > ENVELOPE_VERSION {
        return Err(VerifyError::Version(header.v));
    }
    if header.core > CORE_VERSION {
        return Err(VerifyError::Core(header.core));
    }
    if header.sequence != tip.sequence.next() {
        return Err(VerifyError::Sequence { found: header.sequence, expected: tip.sequence.next() });
    }
    if header.previous != tip.hash {
        return Err(VerifyError::Chain(header.sequence));
    }
    if payload.as_ref().is_some_and(|payload| payload.digest() != header.payload) {
        return Err(VerifyError::Payload(header.sequence));
    }
    let tip = Tip { sequence: header.sequence, hash: Digest::of(&header_bytes) };
    Ok((SealedEvent { header, header_bytes, payload }, tip))
}

impl SealedEvent {
    /// The event, if its payload was not erased.
    pub fn event(&self) -> Result<Option<Event>, VerifyError> {
        let Some(payload) = &self.payload else { return Ok(None) };
        Event::decode(&self.header.kind, &payload.bytes)
            .map(Some)
            .map_err(|source| VerifyError::Event { sequence: self.header.sequence, source })
    }
}
