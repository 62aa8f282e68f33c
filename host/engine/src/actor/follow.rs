//! Following what other sessions, of this host or another, take back.
//!
//! Promise: before an input is decided on, what another session took back and made durable is not in force any more, and
//! the same append says so. Where nothing is kept that could be taken back nothing is read; otherwise one value is, once
//! for an append, and more only when something was taken back. A session that cannot look decides nothing more.
//!
//! What other sessions give waits: an allowance until this one is opened again, trust until then or until anything is
//! taken back, for a key of the ledger is read whole.
//!
//! Not here: where it is kept (`carried`), the configuration's grants (`grants`).

use super::{Batch, SessionWriter, Taken, Wake};
use crate::carried;
use harness_core::{Actor, AllowanceId, Event};
use std::sync::Arc;

/// The writer has stopped.
pub(super) struct Stopped;

/// What has to be known before an input is taken, besides what was taken back.
#[derive(Default)]
pub(super) struct Look {
    /// Every place where this allowance is kept: it is taken back.
    allowance: Option<AllowanceId>,
    /// All of the ledger: what is reset is what all sessions know by now.
    ledger: bool,
}

impl Look {
    /// For what a wake brings.
    pub(super) fn before(wake: &Wake) -> Self {
        match wake.given().as_deref() {
            Some(Event::AllowanceRevoked { allowance, .. }) => Self { allowance: Some(*allowance), ledger: false },
            Some(Event::TrustReset { .. }) => Self { allowance: None, ledger: true },
            _ => Self::default(),
        }
    }
}

impl SessionWriter {
    /// Looks, and takes over what was taken back.
    pub(super) async fn follow(&mut self, batch: &mut Batch, look: Look) -> Result<(), Stopped> {
        self.look(batch, look).await.map_err(|what| {
            self.stop(format!("what was taken back elsewhere is not known: {what}"));
            Stopped
        })
    }

    async fn look(&mut self, batch: &mut Batch, look: Look) -> Result<(), String> {
        let (kv, state) = (Arc::clone(&self.ports.kv), &self.session.state);
        let failed = |error: crate::ports::StoreError| error.to_string();
        if let Some(id) = look.allowance {
            self.carried.find(kv.as_ref(), state, id).await.map_err(failed)?;
        }
        let has_trust = state.context.as_ref().is_some_and(|context| context.trust);
        let has_allowances = state.allowances.iter().any(harness_core::verdict::Allowance::is_kept);
        let is_due = !std::mem::replace(&mut batch.is_followed, true) && (has_trust || has_allowances);
        let has_changed = is_due && self.carried.has_changed(kv.as_ref()).await.map_err(failed)?;
        let mut inputs = Vec::new();
        if has_changed && has_allowances {
            inputs.extend(carried::lost_allowances(kv.as_ref(), state, &batch.kv).await.map_err(failed)?);
        }
        if has_trust && (has_changed || look.ledger) {
            inputs.extend(carried::trust_of_others(kv.as_ref(), self.id, state).await.map_err(failed)?);
        }
        for event in inputs {
            let taken = Taken { actor: Actor::Host, event, blobs: Vec::new(), reply: None };
            self.take(batch, taken).map_err(|refusal| refusal.to_string())?;
        }
        Ok(())
    }
}
