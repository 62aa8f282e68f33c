//! `harness:host/kv`: values that outlast a call.
//!
//! Promise: a component sees only the values of its own name; what a call writes it reads back at once, and
//! the writes are in its record, in order, where it ended well. Keys, values, writes and spaces are bounded.
//!
//! Not here: keeping values (the port [`Kv`]), making writes valid (the engine).

use super::powers::Powers;
use crate::contract::host::harness::host::kv::{Error, Host, Scope as WitScope};
use crate::guest::GuestState;
use crate::meter::Crossed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness_core::grant::{AccessKind, Capability, Scope};
use harness_core::outcome::LimitName;
use harness_core::record::{KvSpace, KvWrite};
use harness_engine::ports::{Kv, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A key, in bytes (`wit/host/kv.wit`).
const KEY_BYTES_MAX: usize = 256;
/// A value, in bytes (`wit/host/kv.wit`).
const VALUE_BYTES_MAX: usize = 64 << 10;
/// All keys and values of a component in one scope, in bytes (`wit/host/kv.wit`).
const SPACE_BYTES_MAX: u64 = 16 << 20;
/// Keys of one listing (`wit/host/kv.wit`).
const KEYS_MAX: usize = 1_000;
/// What a write costs beside key and value, in bytes: it takes room in the record.
const WRITE_BYTES: u64 = 64;

/// Where a session's calls keep values, and as whose.
#[derive(Clone)]
pub struct KvOwners {
    /// The store.
    pub kv: Arc<dyn Kv>,
    /// The session.
    pub session: String,
    /// The person or service that acts.
    pub principal: String,
    /// The agent.
    pub agent: String,
}

/// A call's view of its component's values.
pub(crate) struct Values {
    owners: Option<KvOwners>,
    component: String,
    writes: Vec<KvWrite>,
    /// What the call wrote of each scope: the last value of each key.
    own: HashMap<Scope, BTreeMap<String, Option<Vec<u8>>>>,
    /// Bytes of each scope, with what the call wrote.
    space_bytes: HashMap<Scope, u64>,
    written_bytes: u64,
    /// Values or their absence came from the store.
    was_read: bool,
}

impl Values {
    pub(crate) fn new(owners: Option<KvOwners>, component: &str) -> Self {
        Self {
            owners,
            component: component.to_owned(),
            writes: Vec::new(),
            own: HashMap::new(),
            space_bytes: HashMap::new(),
            written_bytes: 0,
            was_read: false,
        }
    }

    /// What was written, in order.
    pub(crate) fn take_writes(&mut self) -> Vec<KvWrite> {
        std::mem::take(&mut self.writes)
    }

    /// Whether the call was told anything that its record does not hold.
    pub(crate) fn was_read(&self) -> bool {
        self.was_read
    }

    fn space(&mut self, scope: Scope) -> Result<(Arc<dyn Kv>, KvSpace), Error> {
        let owners = self.owners.as_ref().ok_or_else(|| Error::Failed("this host keeps no values".to_owned()))?;
        let owner = match scope {
            Scope::Session => &owners.session,
            Scope::Principal => &owners.principal,
            Scope::Agent => &owners.agent,
            _ => "",
        };
        self.was_read = true;
        let space = KvSpace { component: self.component.clone(), scope, owner: owner.to_owned() };
        Ok((owners.kv.clone(), space))
    }

    async fn get(&mut self, scope: Scope, key: &str) -> Result<Option<Vec<u8>>, Error> {
        if let Some(own) = self.own.get(&scope).and_then(|own| own.get(key)) {
            return Ok(own.clone());
        }
        let (kv, space) = self.space(scope)?;
        kv.kv_get(&space, key).await.map_err(failed)
    }

    /// Bytes of a scope, with what the call wrote.
    async fn bytes(&mut self, scope: Scope) -> Result<u64, Error> {
        if let Some(bytes) = self.space_bytes.get(&scope) {
            return Ok(*bytes);
        }
        let (kv, space) = self.space(scope)?;
        let bytes = kv.kv_bytes(&space).await.map_err(failed)?;
        self.space_bytes.insert(scope, bytes);
        Ok(bytes)
    }

    /// Writes or deletes. False where the call's limit would be crossed.
    async fn write(
        &mut self,
        scope: Scope,
        key: String,
        value: Option<Vec<u8>>,
        bytes_max: u64,
    ) -> Result<bool, Error> {
        let size = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, |value| (key.len() + value.len()) as u64);
        let written = (key.len() + value.as_ref().map_or(0, Vec::len)) as u64 + WRITE_BYTES;
        self.written_bytes = self.written_bytes.saturating_add(written);
        if self.written_bytes > bytes_max {
            return Ok(false);
        }
        let before = self.get(scope, &key).await?;
        let bytes = self.bytes(scope).await?.saturating_sub(size(&before)).saturating_add(size(&value));
        if value.is_some() && bytes > SPACE_BYTES_MAX && size(&value) > size(&before) {
            return Err(Error::Quota);
        }
        self.space_bytes.insert(scope, bytes);
        let (_, space) = self.space(scope)?;
        let encoded = value.as_ref().map(|value| STANDARD.encode(value));
        self.writes.push(KvWrite { space, key: key.clone(), value: encoded });
        self.own.entry(scope).or_default().insert(key, value);
        Ok(true)
    }

    /// The store's keys and the call's own, merged.
    async fn keys(&mut self, scope: Scope, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Error> {
        let (kv, space) = self.space(scope)?;
        let none = BTreeMap::new();
        let own = self.own.get(&scope).unwrap_or(&none);
        let is_asked = |key: &str| key.starts_with(prefix) && after.is_none_or(|after| key > after);
        let mut keys: BTreeSet<String> =
            own.iter().filter(|(key, value)| value.is_some() && is_asked(key)).map(|(key, _)| key.clone()).collect();
        let (mut cursor, mut kept) = (after.map(str::to_owned), 0);
        loop {
            let page = kv.kv_keys(&space, prefix, cursor.as_deref(), KEYS_MAX).await.map_err(failed)?;
            let is_last = page.len() < KEYS_MAX;
            cursor = page.last().cloned();
            let stays = page.into_iter().filter(|key| own.get(key).is_none_or(Option::is_some));
            for key in stays {
                kept += 1;
                keys.insert(key);
            }
            if is_last || kept >= KEYS_MAX {
                return Ok(keys.into_iter().take(KEYS_MAX).collect());
            }
        }
    }
}

fn failed(error: StoreError) -> Error {
    Error::Failed(error.to_string())
}

const fn scope_of(scope: WitScope) -> Scope {
    match scope {
        WitScope::Session => Scope::Session,
        WitScope::Principal => Scope::Principal,
        WitScope::Agent => Scope::Agent,
        WitScope::Global => Scope::Global,
    }
}

fn require(powers: &mut Powers, access: AccessKind, scope: Scope) -> Result<(), Error> {
    let needed = Capability::Kv { access, scope };
    if powers.require(&needed) { Ok(()) } else { Err(Error::NotGranted(needed.to_string())) }
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX { Err(Error::TooLarge) } else { Ok(()) }
}

impl GuestState {
    async fn kv_write(
        &mut self,
        scope: WitScope,
        key: String,
        value: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let scope = scope_of(scope);
        if let Err(error) = require(&mut self.lent.powers, AccessKind::Write, scope).and_then(|()| check_key(&key)) {
            return Ok(Err(error));
        }
        if value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return Ok(Err(Error::TooLarge));
        }
        match self.lent.values.write(scope, key, value, self.limits.kv_bytes).await {
            Ok(true) => Ok(Ok(())),
            Ok(false) => Err(Crossed::of(&self.limits, LimitName::KvBytes).into()),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl Host for GuestState {
    async fn get(&mut self, scope: WitScope, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let scope = scope_of(scope);
        if let Err(error) = require(&mut self.lent.powers, AccessKind::Read, scope).and_then(|()| check_key(&key)) {
            return Ok(Err(error));
        }
        Ok(self.lent.values.get(scope, &key).await)
    }

    async fn set(&mut self, scope: WitScope, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        self.kv_write(scope, key, Some(value)).await
    }

    async fn delete(&mut self, scope: WitScope, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.kv_write(scope, key, None).await
    }

    async fn keys(
        &mut self,
        scope: WitScope,
        prefix: String,
        after: Option<String>,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        let scope = scope_of(scope);
        if let Err(error) = require(&mut self.lent.powers, AccessKind::Read, scope) {
            return Ok(Err(error));
        }
        Ok(self.lent.values.keys(scope, &prefix, after.as_deref()).await)
    }
}
