//! Asking a policy: a fresh Store in which everything is denied, its limits, one question, its answer, its fuel.
//!
//! Promise: nothing of one question is there at the next. The clock stands still and chance is fixed, so that answer and
//! fuel follow from component and question alone. What broke is told in words, cleaned.
//!
//! Not here: what an answer must be (`answer`), on which thread it runs (`threads`).

use super::declared;
use crate::call;
use crate::contract::hooks::exports::harness::mode::hooks::{HookAnswer, HookPoint, Occasion};
use crate::contract::hooks::{HooksComponent, HooksComponentIndices};
use crate::contract::mode::harness::mode::types::{Answer, ModeDescription, Question};
use crate::contract::mode::{ModeComponent, ModeComponentIndices};
use crate::fault;
use crate::filesystem::FilesystemCtx;
use crate::guest::{GuestState, Lent};
use crate::host::http::Requests;
use crate::host::inputs::Sources;
use crate::host::kv::Values;
use crate::host::powers::Powers;
use crate::host::progress::Reports;
use crate::limits::CallLimits;
use crate::load::Loaded;
use crate::tools::{Component, Kind};
use harness_core::Outcome;
use harness_core::outcome::LimitName;
use harness_egress::Egress;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::InstancePre;
use wasmtime::{Store, format_err};

/// Where questions enter a component.
pub(crate) struct PolicyEntry {
    mode: Option<ModeComponentIndices>,
    hooks: Option<HooksComponentIndices>,
}

impl PolicyEntry {
    /// The entries of a component of that kind.
    pub(crate) fn of(kind: Kind, instance_pre: &InstancePre<GuestState>) -> wasmtime::Result<Self> {
        let mode = kind.judges().then(|| ModeComponentIndices::new(instance_pre)).transpose()?;
        let hooks = kind.has_hooks().then(|| HooksComponentIndices::new(instance_pre)).transpose()?;
        Ok(Self { mode, hooks })
    }
}

/// What a policy is asked.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// What it is, and where its hooks want to be called.
    Describe,
    /// About a call.
    Judge(Box<Question>),
    /// What it wants at a point.
    Hook(Box<Occasion>),
}

/// What a policy said.
pub(crate) enum Said {
    /// What it is.
    Description(Option<ModeDescription>, Vec<HookPoint>),
    /// About a call.
    Answer(Answer),
    /// At a point.
    Hook(HookAnswer),
}

impl Said {
    /// A description as the section would say it; not checked.
    pub(crate) fn into_json(self) -> Result<String, String> {
        match self {
            Self::Description(mode, points) => declared::json(mode, points),
            Self::Answer(_) | Self::Hook(_) => Err("it answered another question".to_owned()),
        }
    }
}

/// What came of asking.
pub(crate) struct Asked {
    /// What was said, or what broke.
    pub(crate) said: Result<Said, String>,
    /// Fuel burnt.
    pub(crate) fuel: u64,
}

impl Asked {
    /// Nobody was asked.
    pub(crate) const fn not(problem: String) -> Self {
        Self { said: Err(problem), fuel: 0 }
    }

    /// Asking came to nothing.
    pub(crate) fn ended(outcome: &Outcome) -> Self {
        Self::not(words(outcome))
    }
}

/// Asks on this thread. Needs a tokio runtime with its timer around it.
pub(crate) async fn run(
    loaded: &Loaded,
    component: &Arc<Component>,
    egress: &Arc<Egress>,
    limits: &CallLimits,
    ask: Ask,
) -> Asked {
    let started = Instant::now();
    let lent = Lent {
        powers: Powers::default(),
        sources: Sources::fixed(),
        values: Values::new(None, component.name()),
        reports: Reports::new(Arc::new(|_| {})),
        requests: Requests::new(egress.clone(), None),
    };
    let guest = GuestState::new(component.clone(), *limits, FilesystemCtx::default(), lent);
    let mut store = match call::store(loaded.engine(), limits, guest, started) {
        Ok(store) => store,
        Err(error) => return Asked::not(format!("no room for another guest: {error}")),
    };
    let answering = enter(loaded, &mut store, ask);
    let mut is_late = false;
    let said = match tokio::time::timeout(Duration::from_millis(limits.deadline_ms), answering).await {
        Err(_elapsed) => {
            is_late = true;
            Err(words(&over_deadline(limits)))
        }
        Ok(Err(error)) => {
            let outcome = fault::outcome(component.name(), &error, limits, &store.data().log);
            is_late = outcome == over_deadline(limits);
            Err(words(&outcome))
        }
        Ok(Ok(said)) => Ok(said),
    };
    // How far it came until its deadline depends on the machine: all of its fuel counts as burnt.
    let fuel_left = if is_late { 0 } else { store.get_fuel().unwrap_or(0) };
    Asked { said, fuel: limits.fuel.saturating_sub(fuel_left) }
}

fn over_deadline(limits: &CallLimits) -> Outcome {
    let limit = LimitName::DeadlineMs;
    Outcome::OverLimit { limit, maximum: limits.maximum(limit) }
}

async fn enter(loaded: &Loaded, store: &mut Store<GuestState>, ask: Ask) -> wasmtime::Result<Said> {
    let missing = || format_err!("it does not export what it is asked by");
    let entry = loaded.entry().policy().ok_or_else(missing)?;
    let instance = loaded.instance_pre().instantiate_async(&mut *store).await?;
    match ask {
        Ask::Describe => {
            let mut mode = None;
            if let Some(indices) = &entry.mode {
                let component: ModeComponent = indices.load(&mut *store, &instance)?;
                mode = Some(component.harness_mode_describe().call_describe(&mut *store).await?);
            }
            let mut points = Vec::new();
            if let Some(indices) = &entry.hooks {
                let component: HooksComponent = indices.load(&mut *store, &instance)?;
                points = component.harness_mode_hooks().call_points(&mut *store).await?;
            }
            Ok(Said::Description(mode, points))
        }
        Ask::Judge(question) => {
            let indices = entry.mode.as_ref().ok_or_else(missing)?;
            let component: ModeComponent = indices.load(&mut *store, &instance)?;
            component.harness_mode_judge().call_judge(store, &question).await.map(Said::Answer)
        }
        Ask::Hook(occasion) => {
            let indices = entry.hooks.as_ref().ok_or_else(missing)?;
            let component: HooksComponent = indices.load(&mut *store, &instance)?;
            component.harness_mode_hooks().call_run(store, &occasion).await.map(Said::Hook)
        }
    }
}

/// What ended a question, for people.
fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::OverLimit { limit, maximum } => format!("it crossed {} = {maximum}", limit.name()),
        Outcome::Faulted { what } => what.clone(),
        other => other.model_text(&[]),
    }
}
