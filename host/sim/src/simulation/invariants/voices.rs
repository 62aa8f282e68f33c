//! Whose word counts: what a mode, a rule or a boundary says against a call stands, whatever else speaks for it.

use super::Seen;
use harness_core::event::{Changes, Context, PlanAnswer};
use harness_core::item::{Category, Effects, ToolSpec};
use harness_core::mode::{ModeSpec, PolicyAnswer};
use harness_core::verdict::{Rule, Voice};
use harness_core::{CallId, Digest, Event, Manifest, Origin, VerdictKind};
use std::collections::BTreeMap;

/// One call as the log has it so far.
struct Called {
    tool: String,
    arguments: String,
    /// What they were before a policy narrowed them.
    before: Option<String>,
    is_nested: bool,
    staged: Option<Manifest>,
}

#[derive(Default)]
struct Room {
    rules: Vec<Rule>,
    tools: Vec<ToolSpec>,
    modes: Vec<ModeSpec>,
    mode: String,
    /// What policies said in the step under way.
    answers: Vec<PolicyAnswer>,
    calls: BTreeMap<CallId, Called>,
}

fn about(tool: &str, arguments: &str, staged: Option<&Manifest>) -> Digest {
    match staged {
        None => Digest::of_parts(&[tool.as_bytes(), b"\0", arguments.as_bytes()]),
        Some(manifest) => {
            let arguments = Digest::of(arguments.as_bytes()).to_string();
            let manifest = manifest.digest().to_string();
            let parts = [tool.as_bytes(), b"\0staged\0", arguments.as_bytes(), b"\0", manifest.as_bytes()];
            Digest::of_parts(&parts)
        }
    }
}

/// Whether a policy's word lets exactly these arguments run: not where it put others in their place, unless it has put
/// these in place of others itself; and never where what it put there is no arguments.
fn lets_run(said: &PolicyAnswer, arguments: &str, is_narrowed: bool) -> bool {
    said.narrowed.as_deref().is_none_or(|other| other == arguments || is_narrowed && other.starts_with('{'))
}

impl Room {
    fn spec(&self, tool: &str) -> Option<&ToolSpec> {
        self.tools.iter().find(|spec| spec.name == tool)
    }

    fn mode(&self) -> Option<&ModeSpec> {
        self.modes.iter().find(|mode| mode.name == self.mode)
    }

    /// What the policy in force said last about this, in this step.
    fn said(&self, subject: Digest) -> Option<&PolicyAnswer> {
        let policy = self.mode()?.policy?;
        self.answers.iter().rev().find(|answer| answer.policy == policy && answer.subject == subject)
    }

    /// What the policy in force said where it put these arguments in place of others.
    fn narrowed(&self, subject: Digest, arguments: &str) -> Option<&PolicyAnswer> {
        let policy = self.mode()?.policy?;
        let is_it =
            |it: &&PolicyAnswer| it.policy == policy && it.subject == subject && it.verdict != Some(VerdictKind::Deny);
        self.answers.iter().filter(is_it).find(|it| it.narrowed.as_deref() == Some(arguments))
    }

    /// Why the mode in force does not let a call run, or its changes be put in place.
    fn refuses(&self, id: CallId, is_staged: bool) -> Result<(), String> {
        let Some(call) = self.calls.get(&id) else { return Err(format!("{id} was never requested")) };
        let of_session = self.spec(&call.tool).is_some_and(ToolSpec::is_of_session);
        let Some(mode) = self.mode().filter(|_| !of_session) else { return Ok(()) };
        if mode.tools.as_ref().is_some_and(|tools| !tools.contains(&call.tool)) {
            return Err(format!("the mode `{}` does not use {}", mode.name, call.tool));
        }
        if mode.policy.is_none() {
            return Ok(());
        }
        let staged = call.staged.as_ref().filter(|_| is_staged);
        let said = self.said(about(&call.tool, &call.arguments, staged));
        // Arguments that the policy itself put in place of others are what it said of those.
        let before = call.before.as_ref().filter(|_| !is_staged);
        let narrowed = before.and_then(|before| self.narrowed(about(&call.tool, before, None), &call.arguments));
        match said.or(narrowed) {
            None => Err(format!("the policy of `{}` said nothing about {id}", mode.name)),
            Some(said) if said.verdict == Some(VerdictKind::Deny) => {
                Err(format!("the policy of `{}` denied {id}", mode.name))
            }
            Some(said) if !is_staged && !lets_run(said, &call.arguments, narrowed.is_some()) => {
                Err(format!("the policy of `{}` gave {id} other arguments: {:?}", mode.name, said.narrowed))
            }
            Some(_) => Ok(()),
        }
    }

    fn meet(&mut self, context: &Context) {
        self.rules.clone_from(&context.rules);
        self.tools.clone_from(&context.tools);
        self.modes.clone_from(&context.modes);
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::SessionOpened { context: Some(context), .. } => self.meet(context),
            Event::SessionImported { .. } => *self = Self::default(),
            Event::ModesChanged { modes } => self.modes.clone_from(modes),
            Event::ModeEntered { mode, .. } => self.mode.clone_from(mode),
            Event::ModelRequested { .. } | Event::SessionRewound { .. } => self.answers.clear(),
            Event::PolicyAnswered { answers } => self.answers.extend(answers.iter().cloned()),
            Event::CallRequested { call, tool, arguments, parent, .. } => {
                let (tool, arguments) = (tool.clone(), arguments.clone());
                let called = Called { tool, arguments, before: None, is_nested: parent.is_some(), staged: None };
                self.calls.insert(*call, called);
            }
            Event::ArgumentsReplaced { call, arguments, .. } => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.before = Some(std::mem::replace(&mut call.arguments, arguments.clone()));
                }
            }
            Event::CallReported { call, changes, .. } => {
                if let Some(call) = self.calls.get_mut(call) {
                    call.staged = match changes {
                        Changes::Staged { manifest } => Some(manifest.clone()),
                        Changes::None | Changes::Observed { .. } => None,
                    };
                }
            }
            _ => {}
        }
    }
}

/// What the mode in force denies, or was not asked about, does not run and is not put in place: not after an edit, a
/// narrowing, a switch of modes or a swap of policies, and not by trust.
pub(super) fn a_deny_is_never_followed_by_execution(seen: &Seen<'_>) -> Result<(), String> {
    let mut room = Room::default();
    for (sequence, event) in (1u64..).zip(&seen.log) {
        room.take(event);
        let judged = match event {
            Event::CallStarted { call, .. } => room.refuses(*call, false),
            Event::ChangesAuthorized { call, .. } => room.refuses(*call, true),
            _ => Ok(()),
        };
        judged.map_err(|what| format!("event {sequence} ({}): {what}", event.kind()))?;
    }
    Ok(())
}

/// Whether a rule asks about every call of a tool.
fn asks(rule: &Rule, spec: &ToolSpec) -> bool {
    let reaches = spec.effects == Effects::Requesting && rule.category == Some(Category::Network);
    rule.verdict == VerdictKind::Ask
        && rule.arguments.is_empty()
        && rule.tool.as_ref().is_none_or(|name| *name == spec.name)
        && rule.category.is_none_or(|category| category == spec.category || reaches)
}

/// Trust lets go only what nobody but the default would ask about.
pub(super) fn trust_crosses_no_ask(seen: &Seen<'_>) -> Result<(), String> {
    let mut room = Room::default();
    for (sequence, event) in (1u64..).zip(&seen.log) {
        room.take(event);
        let Event::CallJudged { call: id, subject, verdict } = event else { continue };
        if verdict.voice != Voice::Trust {
            continue;
        }
        let Some(call) = room.calls.get(id) else { return Err(format!("{id} was never requested")) };
        let spec = room.spec(&call.tool).ok_or_else(|| format!("there is no {}", call.tool))?;
        let is_arguments = about(&call.tool, &call.arguments, None) == *subject;
        let staged = call.staged.as_ref().filter(|_| !is_arguments);
        let is_sensitive = staged.is_some_and(|it| it.entries().iter().any(|it| it.path.starts_with(".git/")));
        // An edit's rules speak of its changes.
        let by_rule =
            room.rules.iter().find(|rule| asks(rule, spec) && !(is_arguments && spec.category == Category::Edit));
        let mode_asks = {
            let said = room.said(about(&call.tool, &call.arguments, staged));
            let before = call.before.as_ref().and_then(|before| room.said(about(&call.tool, before, None)));
            said.or(before.filter(|_| is_arguments))
                .and_then(|said| said.verdict)
                .is_some_and(|said| said != VerdictKind::Allow)
        };
        let crossed = [
            (is_sensitive, "a boundary's"),
            (by_rule.is_some(), "a rule's"),
            (mode_asks, "the mode's"),
            (call.is_nested, "a component's own call's"),
        ];
        if let Some((_, whose)) = crossed.iter().find(|(is, _)| *is) {
            return Err(format!("event {sequence} lets {id} go by trust, across {whose} ask"));
        }
    }
    Ok(())
}

/// A mode is entered where a person chose it, by itself or with a plan, or where there is none to be in; what a hook
/// wants is only said.
pub(super) fn only_a_person_chooses_a_mode(seen: &Seen<'_>) -> Result<(), String> {
    let (mut input, mut room) = (None, Room::default());
    for (index, (event, header)) in seen.log.iter().zip(&seen.headers).enumerate() {
        if header.origin == Origin::Input {
            input = Some(event);
        }
        if let Event::ModeEntered { mode, previous, reason, .. } = event {
            let leads_to = || room.mode()?.leads_to.first();
            let is_chosen = match input {
                Some(Event::ModeChosen { mode: chosen }) => chosen == mode,
                Some(Event::PlanAnswered { answer: PlanAnswer::Approve { mode: chosen }, .. }) => {
                    chosen.as_ref().or_else(leads_to) == Some(mode)
                }
                Some(Event::SessionOpened { .. } | Event::ModesChanged { .. }) => {
                    let is_told = reason == "changed" && *mode == room.mode;
                    is_told || matches!(reason.as_str(), "start" | "gone") && room.mode().is_none()
                }
                _ => false,
            };
            if !is_chosen || *previous != room.mode {
                let in_force = &room.mode;
                return Err(format!("event {}: {event:?} after `{in_force}` by {input:?}", index + 1));
            }
        }
        room.take(event);
    }
    let (is, should) = (&seen.state.mode, &room.mode);
    if is == should { Ok(()) } else { Err(format!("`{is}` is in force, `{should}` should be")) }
}
