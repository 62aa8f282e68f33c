//! What must hold of each call on its way through the log: judged, asked about, run, put in place, ended.

use super::Seen;
use crate::simulation::inputs::touches_the_hosts_own;
use harness_core::event::{Answer, Changes, Context};
use harness_core::item::{Category, Effects, ToolSpec};
use harness_core::trust::{TrustKey, TrustLevel};
use harness_core::verdict::Coverage;
use harness_core::{ApprovalId, ApproveMode, CallId, Digest, Event, Manifest, VerdictKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the log says of one call so far.
#[derive(Default)]
struct Way {
    tool: String,
    arguments: Option<Digest>,
    is_given_by_person: bool,
    judged: Option<(VerdictKind, Digest)>,
    /// What a person said yes to.
    yes: Option<Digest>,
    is_denied: bool,
    /// Since it was judged, a person allowed its tool, trust rose, or somebody opened the session with other rules.
    is_loosened: bool,
    has_run: bool,
    staged: Option<Manifest>,
    is_ended: bool,
}

/// Follows every call.
#[derive(Default)]
struct Ways {
    context: Option<Arc<Context>>,
    calls: BTreeMap<CallId, Way>,
    asked: BTreeMap<ApprovalId, (CallId, Digest)>,
    /// Tools that were trusted at some time: a person is asked now and then, and after a yes not for a while.
    trusted: BTreeSet<String>,
}

impl Ways {
    fn call(&mut self, id: CallId) -> Result<&mut Way, String> {
        let way = self.calls.get_mut(&id).ok_or_else(|| format!("{id} was never requested"))?;
        if way.is_ended { Err(format!("{id} had ended")) } else { Ok(way) }
    }

    fn spec(&self, tool: &str) -> Option<&ToolSpec> {
        self.context.as_ref()?.tools.iter().find(|spec| spec.name == tool)
    }

    /// Whether some rule refuses every call of this tool.
    fn is_refused(&self, tool: &str) -> bool {
        let Some(spec) = self.spec(tool) else { return true };
        let rules = self.context.iter().flat_map(|context| &context.rules);
        let mut denies = rules.filter(|rule| rule.verdict == VerdictKind::Deny).filter(|rule| {
            let reaches = spec.effects == Effects::Requesting && rule.category == Some(Category::Network);
            // The session's own tools change nothing else: only a deny that names one is about it.
            let is_named = rule.tool.as_ref().map_or(!spec.is_of_session(), |name| *name == spec.name);
            is_named && rule.category.is_none_or(|category| category == spec.category || reaches)
        });
        denies.next().is_some()
    }

    fn refuses_changes(&self) -> bool {
        self.context.as_ref().is_some_and(|context| context.approve == ApproveMode::None)
    }

    fn trust(&mut self, event: &Event) {
        let levels: Vec<(&TrustKey, TrustLevel)> = match event {
            Event::TrustSet { key, level } | Event::TrustLevelChanged { key, to: level, .. } => vec![(key, *level)],
            Event::TrustCarried { records } => records.iter().map(|it| (&it.key, it.level)).collect(),
            _ => return,
        };
        let trusted = levels.into_iter().filter(|(_, level)| *level > TrustLevel::Supervised);
        self.trusted.extend(trusted.map(|(key, _)| key.tool.clone()));
    }

    fn take(&mut self, event: &Event) -> Result<(), String> {
        self.trust(event);
        match event {
            Event::SessionOpened { context: Some(context), .. } => {
                self.context = Some(Arc::clone(context));
                self.calls.values_mut().for_each(|way| way.is_loosened = true);
            }
            Event::AllowanceGranted { allowance } => {
                let is_covered = |way: &&mut Way| {
                    matches!(allowance.coverage, Coverage::Category { .. }) || way.tool == allowance.tool
                };
                self.calls.values_mut().filter(is_covered).for_each(|way| way.is_loosened = true);
            }
            Event::SessionImported { .. } => *self = Self::default(),
            Event::AllowancesCarried { .. }
            | Event::TrustCarried { .. }
            | Event::TrustLevelChanged { .. }
            | Event::PolicyAnswered { .. }
            | Event::ModeEntered { .. }
            | Event::ModesChanged { .. } => {
                self.calls.values_mut().for_each(|way| way.is_loosened = true);
            }
            Event::ArgumentsReplaced { call, arguments, by } => {
                let way = self.call(*call)?;
                way.arguments = Some(Digest::of_parts(&[way.tool.as_bytes(), b"\0", arguments.as_bytes()]));
                way.is_given_by_person = by == "person";
            }
            Event::CallRequested { call, tool, arguments, .. } => {
                let arguments = Digest::of_parts(&[tool.as_bytes(), b"\0", arguments.as_bytes()]);
                let way = Way { tool: tool.clone(), arguments: Some(arguments), ..Way::default() };
                if self.calls.insert(*call, way).is_some() {
                    return Err(format!("{call} was requested before"));
                }
            }
            Event::CallJudged { call, subject, verdict } => {
                let way = self.call(*call)?;
                way.judged = Some((verdict.kind, *subject));
                (way.yes, way.is_loosened) = (None, false);
                way.is_denied |= verdict.kind == VerdictKind::Deny;
            }
            Event::ApprovalAsked { approval, call, binds_to, .. } => {
                if self.call(*call)?.judged != Some((VerdictKind::Ask, *binds_to)) {
                    return Err(format!("{approval} is asked, but nothing says that it should be"));
                }
                if self.asked.insert(*approval, (*call, *binds_to)).is_some() {
                    return Err(format!("{approval} waits already"));
                }
            }
            Event::ApprovalAnswered { approval, binds_to, answer } => {
                let Some((call, shown)) = self.asked.remove(approval) else {
                    return Err(format!("{approval} is answered and does not wait"));
                };
                if shown != *binds_to {
                    return Err(format!("{approval} showed {shown}, the answer is to {binds_to}"));
                }
                let trusted = self.trusted.clone();
                let way = self.call(call)?;
                way.is_loosened |= trusted.contains(&way.tool) && !matches!(answer, Answer::No { .. });
                match answer {
                    Answer::No { .. } => way.is_denied = true,
                    // Its arguments are other ones from then on, unless they are the same.
                    Answer::Edited { arguments } => {
                        let edited = Digest::of_parts(&[way.tool.as_bytes(), b"\0", arguments.as_bytes()]);
                        way.yes = (way.arguments == Some(edited)).then_some(shown);
                    }
                    Answer::Yes | Answer::YesForTool | Answer::Allow { .. } => way.yes = Some(shown),
                }
            }
            Event::ApprovalWithdrawn { approval } => drop(self.asked.remove(approval)),
            Event::CallReported { call, changes, .. } => {
                let staged = match changes {
                    Changes::Staged { manifest } => Some(manifest.clone()),
                    Changes::None | Changes::Observed { .. } => None,
                };
                self.call(*call)?.staged = staged;
            }
            Event::CallStarted { call, .. } => self.start(*call)?,
            Event::ChangesAuthorized { call, manifest } => self.authorize(*call, *manifest)?,
            Event::CallEnded { call, .. } => self.call(*call)?.is_ended = true,
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, call: CallId) -> Result<(), String> {
        let tool = self.call(call)?.tool.clone();
        let spec = self.spec(&tool);
        let (effects, category) = (spec.map(|spec| spec.effects), spec.map(|spec| spec.category));
        if self.is_refused(&tool) || (self.refuses_changes() && category != Some(Category::Read)) {
            return Err(format!("{call} of `{tool}` runs, which a rule refuses"));
        }
        let way = self.call(call)?;
        if way.is_denied {
            return Err(format!("{call} runs after a no"));
        }
        match way.judged {
            Some((VerdictKind::Allow, subject)) if Some(subject) == way.arguments => {}
            Some((VerdictKind::Ask, subject)) if Some(subject) == way.arguments && way.yes == Some(subject) => {}
            // Whoever wrote the arguments has said yes to them.
            Some((VerdictKind::Ask, subject)) if Some(subject) == way.arguments && way.is_given_by_person => {}
            // It goes on, a person had said yes when it began, and nobody has to be asked any more.
            Some((VerdictKind::Ask, subject)) if Some(subject) == way.arguments && way.has_run && way.is_loosened => {}
            other => return Err(format!("{call} runs, judged was {other:?}, a person said yes to {:?}", way.yes)),
        }
        if effects == Some(Effects::Direct) {
            way.yes = None;
        }
        way.has_run = true;
        Ok(())
    }

    fn authorize(&mut self, call: CallId, manifest: Digest) -> Result<(), String> {
        let tool = self.call(call)?.tool.clone();
        if self.is_refused(&tool) || self.refuses_changes() {
            return Err(format!("changes of {call} of `{tool}` are authorised, which a rule refuses"));
        }
        let way = self.call(call)?;
        if way.is_denied {
            return Err(format!("changes of {call} are authorised after a no"));
        }
        let Some(staged) = way.staged.as_ref().filter(|staged| staged.digest() == manifest) else {
            return Err(format!("{call} staged {:?}, authorised is {manifest}", way.staged));
        };
        if touches_the_hosts_own(staged) {
            return Err(format!("{call} changes the host's own files"));
        }
        let is_sensitive = staged.entries().iter().any(|change| change.path.starts_with(".git/"));
        match way.judged {
            Some((VerdictKind::Allow, subject)) if subject == manifest && !is_sensitive => Ok(()),
            Some((VerdictKind::Ask, subject)) if subject == manifest && way.yes == Some(manifest) => Ok(()),
            other => Err(format!("changes of {call} are authorised, judged was {other:?}, yes to {:?}", way.yes)),
        }
    }
}

pub(super) fn a_call_goes_on_only_as_it_was_judged(seen: &Seen<'_>) -> Result<(), String> {
    let mut ways = Ways::default();
    for (sequence, event) in (1u64..).zip(&seen.log) {
        ways.take(event).map_err(|what| format!("event {sequence}: {what}"))?;
    }
    Ok(())
}

/// A hand is asked to put in place only what was authorised, and no more once it has said how that went; until it has,
/// the call does not end.
pub(super) fn only_what_was_authorised_is_put_in_place(seen: &Seen<'_>) -> Result<(), String> {
    let mut authorised: BTreeMap<CallId, bool> = BTreeMap::new();
    for (sequence, event) in (1u64..).zip(&seen.log) {
        match event {
            Event::ChangesAuthorized { call, .. } => drop(authorised.insert(*call, false)),
            Event::UndoRequested { undo, .. } => drop(authorised.insert(*undo, false)),
            Event::ChangesPut { call, .. } if authorised.insert(*call, true) != Some(false) => {
                return Err(format!("event {sequence} reports a put that nobody waits for"));
            }
            Event::CallEnded { call, .. } if authorised.get(call) == Some(&false) => {
                return Err(format!("event {sequence} ends {call}, whose changes are being put in place"));
            }
            _ => {}
        }
    }
    match seen.evidence.puts.iter().find(|call| !authorised.contains_key(call)) {
        Some(call) => Err(format!("changes of {call} were put in place and never authorised")),
        None => Ok(()),
    }
}

/// No call is left behind when its turn ends, and none ends twice.
pub(super) fn every_call_ends_once(seen: &Seen<'_>) -> Result<(), String> {
    let mut open: BTreeMap<CallId, u64> = BTreeMap::new();
    for (sequence, event) in (1u64..).zip(&seen.log) {
        match event {
            Event::CallRequested { call, .. } => drop(open.insert(*call, sequence)),
            Event::CallEnded { call, .. } if open.remove(call).is_none() => {
                return Err(format!("event {sequence} ends {call}, which is not under way"));
            }
            // What was under way elsewhere is over.
            Event::SessionImported { .. } => open.clear(),
            Event::TurnEnded { .. } if !open.is_empty() => {
                return Err(format!("event {sequence} ends a turn, these calls are left: {open:?}"));
            }
            _ => {}
        }
    }
    Ok(())
}
