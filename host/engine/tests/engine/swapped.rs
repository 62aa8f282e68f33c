//! A mode's component is replaced while it is being asked: what it says then counts for nothing.

use crate::world::{World, context, finish, prompt, settle, until};
use async_trait::async_trait;
use harness_core::event::{Context, TurnEnd};
use harness_core::mode::{HookAnswer, HookPoint, ModeSpec, PolicyAnswer, PolicyQuestion};
use harness_core::{ApproveMode, Digest, Event, Sequence, VerdictKind};
use harness_engine::NewSession;
use harness_engine::ports::{HookOccasion, Policy};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::Reply;
use std::sync::{Arc, Mutex};

const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
const RUN: (&str, &str) = ("run_command", r#"{"path":"b.txt","content":"!"}"#);

/// Two components of one mode, told apart by digest: the old one does not answer some questions before it may.
struct Two {
    gate: Gate,
    parks: fn(&PolicyQuestion) -> bool,
    old_says: VerdictKind,
    new_says: VerdictKind,
    asked: Mutex<Vec<PolicyQuestion>>,
}

fn old() -> Digest {
    Digest::of(b"old")
}

fn new() -> Digest {
    Digest::of(b"new")
}

#[async_trait]
impl Policy for Two {
    async fn judge(&self, question: PolicyQuestion) -> PolicyAnswer {
        self.asked.lock().unwrap().push(question.clone());
        let parks = (self.parks)(&question);
        let verdict = match question.policy {
            policy if policy == new() => self.new_says,
            // What it says in time is no matter of this test.
            _ if !parks => VerdictKind::Allow,
            _ => {
                self.gate.pass().await;
                self.old_says
            }
        };
        let (subject, policy) = (question.subject, question.policy);
        let (rule, words) = ("rule".to_owned(), String::new());
        PolicyAnswer { subject, policy, verdict: Some(verdict), rule, words, narrowed: None, fuel: 1 }
    }

    fn has_hooks(&self, _point: HookPoint) -> bool {
        false
    }

    async fn run_hooks(&self, _occasion: HookOccasion) -> Vec<HookAnswer> {
        Vec::new()
    }
}

fn plan(policy: Digest) -> Vec<ModeSpec> {
    let (name, description, instructions) = ("plan".to_owned(), String::new(), String::new());
    let leads_to = Vec::new();
    vec![ModeSpec { name, description, instructions, tools: None, model: None, leads_to, policy: Some(policy) }]
}

/// What is asked while the component is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// About a call of a response that is not taken yet.
    WithTheResponse,
    /// About a call whose turn has come.
    LaterCall,
    /// About staged changes, before the report is taken.
    Staged,
}

impl Asked {
    fn parks(self) -> fn(&PolicyQuestion) -> bool {
        match self {
            Self::WithTheResponse | Self::LaterCall => |question| question.tool == EDIT.0 && question.staged.is_none(),
            Self::Staged => |question| question.staged.is_some(),
        }
    }

    fn calls(self) -> Vec<(&'static str, &'static str)> {
        if self == Self::LaterCall { vec![RUN, EDIT] } else { vec![EDIT] }
    }
}

async fn swap(asked: Asked, old_says: VerdictKind, new_says: VerdictKind, is_late: bool) {
    let case = format!("{asked:?}, {old_says:?} then {new_says:?}, late {is_late}");
    let (gate, parks) = (Gate::closed(), asked.parks());
    let policy = Arc::new(Two { gate: gate.clone(), parks, old_says, new_says, asked: Mutex::default() });
    let world = World::tape([Reply::calls(&asked.calls()), Reply::text("done")]);
    let host = world.host.clone().with_policy(Arc::clone(&policy) as _);
    let told = Context { modes: plan(old()), ..context(ApproveMode::Ask) };
    let new_session = NewSession { workspace: "/work".to_owned(), title: None };
    let session = host.create(new_session, told, Vec::new(), Arc::clone(&world.hands) as _).await.unwrap();
    let id = session.id();
    prompt(&session).await;
    gate.reached(1).await;
    session.set_modes(plan(new())).await.unwrap();
    settle().await;
    if is_late {
        // The new one has long spoken where it was asked at once.
        until(&session, "call_ended").await;
    }
    gate.open();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done, "{case}");
    settle().await;

    let is_allowed = new_says == VerdictKind::Allow;
    assert_eq!(world.file("a.txt"), if is_allowed { "alpha+" } else { "alpha" }, "{case}");
    assert_eq!(world.hands.put_calls().len(), usize::from(is_allowed), "{case}");
    let ran = world.hands.executed().iter().filter(|(_, tool)| tool == EDIT.0).count();
    assert_eq!(ran, usize::from(is_allowed || asked == Asked::Staged), "{case}");

    let events: Vec<Event> = host
        .events(id, Sequence::START, usize::MAX)
        .await
        .unwrap()
        .into_iter()
        .map(|logged| logged.event.unwrap())
        .collect();
    let swapped = events.iter().position(|event| matches!(event, Event::ModesChanged { .. })).unwrap();
    let names_old =
        |event: &Event| matches!(event, Event::ModeEntered { policy: Some(policy), .. } if *policy == old());
    assert!(events[..swapped].iter().any(names_old), "{case}");
    assert_eq!(events[swapped], Event::ModesChanged { modes: plan(new()) }, "{case}");
    // Whatever is judged from then on is judged by what the new one said of it.
    let mut heard = Vec::new();
    let judged = |event: &Event| matches!(event, Event::CallJudged { verdict, .. } if verdict.rule == "mode.plan.rule");
    for event in &events[swapped..] {
        match event {
            Event::PolicyAnswered { answers } => heard.extend(answers.iter().map(|answer| answer.policy)),
            event if judged(event) => assert!(heard.contains(&new()), "{case}: {heard:?}"),
            _ => {}
        }
    }
    assert!(events[swapped..].iter().any(judged), "{case}");
    let of_new = policy.asked.lock().unwrap().iter().filter(|question| question.policy == new()).count();
    assert!(of_new >= 1, "{case}");
    assert_eq!(host.replay(id).await.unwrap().difference, None, "{case}");
}

#[tokio::test]
async fn what_a_replaced_component_says_of_a_call_counts_for_nothing() {
    for asked in [Asked::WithTheResponse, Asked::LaterCall, Asked::Staged] {
        swap(asked, VerdictKind::Allow, VerdictKind::Deny, false).await;
        swap(asked, VerdictKind::Deny, VerdictKind::Allow, false).await;
    }
}

#[tokio::test]
async fn nor_where_it_answers_after_its_successor() {
    swap(Asked::LaterCall, VerdictKind::Allow, VerdictKind::Deny, true).await;
    swap(Asked::LaterCall, VerdictKind::Deny, VerdictKind::Allow, true).await;
}
