//! What outlasts a session: what a person allowed beyond it, and the trust ledger, in the host's own kv spaces.
//!
//! Promise: what is kept is written in the same append as the event that says so, one key for each session that says
//! it, so that concurrent sessions never overwrite each other; what cannot be read back counts for nothing. Whoever
//! takes something back leaves a mark in the same append, by which every other open session notices with one read.
//! What was allowed until a time is taken out before the first input that, by the log's own times, came then or later:
//! from then on nothing is judged and nothing begins by it. What began before goes on, also after a crash.
//!
//! Not here: what it means (the core), when a session looks (`actor::follow`).

use crate::host::{Host, OpenError};
use crate::load::{LoadError, LoadedSession};
use crate::ports::{Kv, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness_core::event::{Answer, Context};
use harness_core::limits::{ALLOWANCES_MAX, TRUST_KEYS_MAX};
use harness_core::record::{KvSpace, KvWrite};
use harness_core::trust::{TrustRecord, merge};
use harness_core::verdict::Allowance;
use harness_core::{AllowanceId, Event, Refusal, Scope, SessionId, SessionState, TimeMs, Tip};
use std::collections::BTreeMap;

/// The space of what persons allowed. No component is called so: their names have no colon.
const ALLOWANCES_SPACE: &str = "host:allowances";
/// The space of the trust ledger.
const TRUST_SPACE: &str = "host:trust";
/// The space of the mark that something was taken back.
const TAKEN_BACK_SPACE: &str = "host:taken-back";
/// The mark's key. All sessions write it: what counts is that it is another one than before.
const TAKEN_BACK_KEY: &str = "last";
/// Keys of one space that are read when a session is opened; what is beyond it is not in force.
const KEYS_MAX: usize = 65_536;
/// Keys that are read at once.
const KEYS_AT_ONCE_MAX: usize = 1_024;

/// What a session knows of what is kept.
#[derive(Default)]
pub(crate) struct Carried {
    /// The keys under which each allowance is kept, whoever wrote them.
    allowances: BTreeMap<AllowanceId, Vec<(KvSpace, String)>>,
    /// What this session wrote into the ledger, by its key in kv.
    trust: BTreeMap<String, TrustRecord>,
    /// The mark when this session last looked. Its own marks are no exception: one may have replaced another
    /// session's that it has not seen.
    taken_back: Option<Vec<u8>>,
}

/// Who a scope's values belong to in this session; none where it does not outlast it.
fn owner(scope: Scope, workspace: &str, context: &Context) -> Option<String> {
    match scope {
        Scope::Workspace => Some(workspace.to_owned()),
        Scope::Agent => Some(context.agent.clone()),
        Scope::Global => Some(String::new()),
        Scope::Turn | Scope::Session | Scope::Principal | Scope::Tenant => None,
    }
}

fn space(component: &str, scope: Scope, workspace: &str, context: &Context) -> Option<KvSpace> {
    let owner = owner(scope, workspace, context)?;
    Some(KvSpace { component: component.to_owned(), scope, owner })
}

fn trust_space() -> KvSpace {
    KvSpace { component: TRUST_SPACE.to_owned(), scope: Scope::Global, owner: String::new() }
}

fn taken_back_space() -> KvSpace {
    KvSpace { component: TAKEN_BACK_SPACE.to_owned(), scope: Scope::Global, owner: String::new() }
}

/// The mark that an append which takes something back leaves: no other append ends in the same tip.
pub(crate) fn mark(tip: &Tip) -> KvWrite {
    write(taken_back_space(), TAKEN_BACK_KEY.to_owned(), Some(&tip.hash.hex()))
}

/// Whether other sessions have to hear at once of what these events made this one write. An allowance's end is for
/// each session's own clock to say.
pub(crate) fn takes_back(events: &[Event]) -> bool {
    events.iter().any(|event| {
        matches!(
            event,
            Event::AllowanceRevoked { expired: false, .. }
                | Event::ApprovalAnswered { answer: Answer::No { .. }, .. }
                | Event::ChangesUndone { .. }
                | Event::WorkReviewed { accepted: false, .. }
                | Event::TrustSet { .. }
                | Event::TrustReset { .. }
                | Event::TrustLevelChanged { .. }
        )
    })
}

fn write(space: KvSpace, key: String, value: Option<&impl serde::Serialize>) -> KvWrite {
    // Texts and numbers: nothing that JSON cannot hold.
    let value = value.map(|value| STANDARD.encode(serde_json::to_vec(value).unwrap_or_default()));
    KvWrite { space, key, value }
}

impl Carried {
    /// Reads what is kept for a session, and gives the inputs that tell it what it does not know yet.
    pub(crate) async fn read(
        kv: &dyn Kv,
        session: SessionId,
        state: &SessionState,
        workspace: &str,
        context: &Context,
        now: TimeMs,
    ) -> Result<(Self, Vec<Event>), OpenError> {
        // Before the rest: what is taken back while that is read is noticed by the next look.
        let taken_back = kv.kv_get(&taken_back_space(), TAKEN_BACK_KEY).await.map_err(LoadError::from)?;
        let mut carried = Self { taken_back, ..Self::default() };
        let mut allowances: Vec<Allowance> = Vec::new();
        for scope in [Scope::Workspace, Scope::Agent, Scope::Global] {
            let Some(space) = space(ALLOWANCES_SPACE, scope, workspace, context) else { continue };
            for (key, value) in values(kv, &space).await.map_err(LoadError::from)? {
                let Ok(allowance) = serde_json::from_slice::<Allowance>(&value) else {
                    tracing::warn!(key, "an allowance that is kept cannot be read and is not in force");
                    continue;
                };
                if allowance.scope != scope {
                    continue;
                }
                carried.allowances.entry(allowance.id()).or_default().push((space.clone(), key));
                if allowance.is_in_force(Some(now)) && !allowances.contains(&allowance) {
                    allowances.push(allowance);
                }
            }
        }
        let own = state.allowances.iter().filter(|known| !known.is_kept()).count();
        allowances.truncate(ALLOWANCES_MAX.saturating_sub(own));
        let known: Vec<&Allowance> = state.allowances.iter().filter(|known| known.is_kept()).collect();
        let is_known = known.len() == allowances.len() && allowances.iter().all(|it| known.contains(&it));
        let mut inputs = Vec::new();
        inputs.extend((!is_known).then_some(Event::AllowancesCarried { allowances }));
        if context.trust {
            let (own, others) = trust_records(kv, session).await.map_err(LoadError::from)?;
            carried.trust = own;
            inputs.extend(trust_input(state, others));
        }
        Ok((carried, inputs))
    }

    /// Whether anything was taken back since this session last looked.
    pub(crate) async fn has_changed(&mut self, kv: &dyn Kv) -> Result<bool, StoreError> {
        let last = kv.kv_get(&taken_back_space(), TAKEN_BACK_KEY).await?;
        let has_changed = last != self.taken_back;
        self.taken_back = last;
        Ok(has_changed)
    }

    /// Takes what was read anew, as of the last look.
    pub(crate) fn renew(&mut self, read: Self) {
        *self = Self { taken_back: self.taken_back.take(), ..read };
    }

    /// Finds an allowance wherever it is kept by now, so that taking it back reaches all of it.
    pub(crate) async fn find(&mut self, kv: &dyn Kv, state: &SessionState, id: AllowanceId) -> Result<(), StoreError> {
        let known = state.allowances.iter().find(|known| known.id() == id);
        let Some(space) = known.and_then(|known| space_of(state, known)) else { return Ok(()) };
        let found = keys(kv, &space, &prefix(id)).await?;
        self.allowances.insert(id, found.into_iter().map(|key| (space.clone(), key)).collect());
        Ok(())
    }

    fn trust_writes(&mut self, session: SessionId, state: &SessionState) -> Vec<KvWrite> {
        let mut writes = Vec::new();
        for entry in state.ledger.entries() {
            let key = format!("{}/{session}", entry.own.key.digest().hex());
            // What only others know is theirs to keep.
            let is_known = match self.trust.get(&key) {
                Some(known) => *known == entry.own,
                None => !entry.has_own_part(),
            };
            if !is_known {
                writes.push(write(trust_space(), key.clone(), Some(&entry.own)));
                self.trust.insert(key, entry.own.clone());
            }
        }
        writes
    }

    /// What events change about what is kept.
    pub(crate) fn writes(&mut self, session: SessionId, state: &SessionState, events: &[Event]) -> Vec<KvWrite> {
        let may_change = |event: &Event| {
            matches!(
                event.kind(),
                "approval_answered"
                    | "call_judged"
                    | "call_ended"
                    | "changes_undone"
                    | "work_reviewed"
                    | "trust_set"
                    | "trust_reset"
                    | "trust_level_changed"
                    | "session_opened"
            )
        };
        let has_trust = state.context.as_ref().is_some_and(|context| context.trust);
        let mut writes =
            if has_trust && events.iter().any(may_change) { self.trust_writes(session, state) } else { Vec::new() };
        for event in events {
            match event {
                Event::AllowanceGranted { allowance } if allowance.is_kept() => {
                    let Some(space) = space_of(state, allowance) else { continue };
                    let key = format!("{}{session}", prefix(allowance.id()));
                    let keys = self.allowances.entry(allowance.id()).or_default();
                    if !keys.contains(&(space.clone(), key.clone())) {
                        keys.push((space.clone(), key.clone()));
                    }
                    writes.push(write(space, key, Some(allowance)));
                }
                // Nobody is to find it again, whoever wrote it.
                Event::AllowanceRevoked { allowance, .. } => {
                    let keys = self.allowances.get(allowance).cloned().unwrap_or_default();
                    writes.extend(keys.into_iter().map(|(space, key)| write(space, key, None::<&Allowance>)));
                }
                _ => {}
            }
        }
        writes
    }
}

impl Host {
    /// What all sessions together know of trust.
    pub async fn trust_records(&self) -> Result<Vec<TrustRecord>, StoreError> {
        let mut records = Vec::new();
        for (key, value) in values(self.ports().kv.as_ref(), &trust_space()).await? {
            match serde_json::from_slice::<TrustRecord>(&value) {
                Ok(record) => records.push(record),
                Err(error) => tracing::warn!(key, %error, "a record of trust cannot be read and counts for nothing"),
            }
        }
        Ok(merge(&records))
    }

    /// What is allowed for later calls in a session: what would be in force if it were opened now, whoever allowed it
    /// and wherever.
    pub async fn allowances(&self, id: SessionId) -> Result<Vec<Allowance>, OpenError> {
        let LoadedSession { state, .. } = self.load(id).await?;
        let now = self.ports().clock.now();
        let mut allowances = state.allowances.clone();
        if let Some(context) = state.context.as_deref() {
            let kv = self.ports().kv.as_ref();
            let (_, inputs) = Carried::read(kv, id, &state, &state.workspace, context, now).await?;
            let carried = inputs.into_iter().find_map(|input| match input {
                Event::AllowancesCarried { allowances } => Some(allowances),
                _ => None,
            });
            if let Some(carried) = carried {
                allowances.retain(|known| !known.is_kept());
                allowances.extend(carried);
            }
        }
        allowances.retain(|allowance| allowance.is_in_force(Some(now)));
        Ok(allowances)
    }
}

/// Whether an answer says yes until a time that is still to come: it may have been on its way for long.
pub(crate) fn check_end(input: &Event, now: TimeMs) -> Result<(), Refusal> {
    match input {
        Event::ApprovalAnswered { answer: Answer::Allow { until: Some(until), .. }, .. } if *until <= now => {
            let words = "the time until which this was allowed has ended: answer once, or until a later time";
            Err(Refusal::Answer(words.to_owned()))
        }
        _ => Ok(()),
    }
}

/// The inputs that say which allowances have come to their end.
pub(crate) fn expired(state: &SessionState, now: TimeMs) -> Vec<Event> {
    let ended = state.allowances.iter().filter(|allowance| !allowance.is_in_force(Some(now)));
    ended.map(|allowance| Event::AllowanceRevoked { allowance: allowance.id(), expired: true }).collect()
}

/// Where an allowance of this session is kept.
fn space_of(state: &SessionState, allowance: &Allowance) -> Option<KvSpace> {
    space(ALLOWANCES_SPACE, allowance.scope, &state.workspace, state.context.as_deref()?)
}

/// How the keys of an allowance begin, whichever session wrote them.
fn prefix(id: AllowanceId) -> String {
    format!("{id}/")
}

/// The input that leaves of what a session knows to be allowed only what is still kept, or is in `pending`, the writes
/// of the append that is being made; none where nothing is missing.
pub(crate) async fn lost_allowances(
    kv: &dyn Kv,
    state: &SessionState,
    pending: &[KvWrite],
) -> Result<Option<Event>, StoreError> {
    let known: Vec<&Allowance> = state.allowances.iter().filter(|known| known.is_kept()).collect();
    let mut allowances = Vec::new();
    for allowance in &known {
        let Some(space) = space_of(state, allowance) else { continue };
        let prefix = prefix(allowance.id());
        let is_written =
            |write: &KvWrite| write.value.is_some() && write.space == space && write.key.starts_with(&prefix);
        if pending.iter().any(is_written) || !kv.kv_keys(&space, &prefix, None, 1).await?.is_empty() {
            allowances.push((*allowance).clone());
        }
    }
    Ok((allowances.len() < known.len()).then_some(Event::AllowancesCarried { allowances }))
}

/// The input that tells a session what others know of trust by now; none where it knows.
pub(crate) async fn trust_of_others(
    kv: &dyn Kv,
    session: SessionId,
    state: &SessionState,
) -> Result<Option<Event>, StoreError> {
    Ok(trust_input(state, trust_records(kv, session).await?.1))
}

fn trust_input(state: &SessionState, records: Vec<TrustRecord>) -> Option<Event> {
    (!state.ledger.knows(&records)).then_some(Event::TrustCarried { records })
}

/// What a session has written about trust, by key in kv, and what others know together.
async fn trust_records(
    kv: &dyn Kv,
    session: SessionId,
) -> Result<(BTreeMap<String, TrustRecord>, Vec<TrustRecord>), StoreError> {
    let suffix = format!("/{session}");
    let (mut own, mut others) = (BTreeMap::new(), Vec::new());
    for (key, value) in values(kv, &trust_space()).await? {
        match serde_json::from_slice::<TrustRecord>(&value) {
            Ok(record) if key.ends_with(&suffix) => drop(own.insert(key, record)),
            Ok(record) => others.push(record),
            Err(error) => tracing::warn!(key, %error, "a record of trust cannot be read and counts for nothing"),
        }
    }
    let mut merged = merge(&others);
    merged.truncate(TRUST_KEYS_MAX);
    Ok((own, merged))
}

/// All values of a space, by key, up to a limit.
async fn values(kv: &dyn Kv, space: &KvSpace) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut values: Vec<(String, Vec<u8>)> = Vec::new();
    for key in keys(kv, space, "").await? {
        if let Some(value) = kv.kv_get(space, &key).await? {
            values.push((key, value));
        }
    }
    Ok(values)
}

/// All keys of a space that begin so, up to a limit.
async fn keys(kv: &dyn Kv, space: &KvSpace, prefix: &str) -> Result<Vec<String>, StoreError> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let keys = kv.kv_keys(space, prefix, found.last().map(String::as_str), KEYS_AT_ONCE_MAX).await?;
        let is_last = keys.len() < KEYS_AT_ONCE_MAX;
        found.extend(keys);
        if is_last {
            return Ok(found);
        }
        if found.len() >= KEYS_MAX {
            tracing::error!(space = space.component, "more than {KEYS_MAX} keys are kept; the last are not in force");
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    struct Many(BTreeMap<String, Vec<u8>>);

    #[async_trait]
    impl Kv for Many {
        async fn kv_get(&self, _: &KvSpace, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.get(key).cloned())
        }

        async fn kv_keys(
            &self,
            _: &KvSpace,
            _: &str,
            after: Option<&str>,
            keys_max: usize,
        ) -> Result<Vec<String>, StoreError> {
            let keys = self.0.keys().filter(|key| after.is_none_or(|after| key.as_str() > after));
            Ok(keys.take(keys_max).cloned().collect())
        }

        async fn kv_bytes(&self, _: &KvSpace) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    #[tokio::test]
    async fn the_last_of_many_keys_counts_too() {
        for count in [0, 1, KEYS_AT_ONCE_MAX, KEYS_AT_ONCE_MAX + 1, 4_097, 4 * KEYS_AT_ONCE_MAX + 5] {
            let many = Many((0..count).map(|key| (format!("{key:06}"), vec![1])).collect());
            let values = values(&many, &trust_space()).await.unwrap();
            assert_eq!(values.len(), count);
            assert!(values.is_sorted());
        }
    }
}
