//! The notation of decision tests, and the laws that every single step of every test must keep.
//!
//! A line with `>` is an input; the line below it is what must follow: derived events, then `=>` and
//! commands, or `refused: …`. Calls are `c1`, `c2`…, approvals `a1`, `a2`…, questions `q1`, `q2`…, plans `p1`, `p2`…
//! and undoings `u1`, `u2`… in order of appearance.
//!
//! ```text
//! > open approve=edits rule=ask:read:shy      rules are verdict:tool-or-*:id[:COMMAND]
//! > open component=edit:editor digest=edit:DIGEST staged=run without=think
//! > prompt WORDS | say WORDS | interrupt | retry | rename WORDS
//! > call read edit=ARGUMENTS                  a response with these calls; `{}` unless given
//! > fail KIND [after=MS]
//! > report c1 returned | failed | staged PATH… | observed PATH… | not-granted
//! > report c1 requested PATH…                  staged, and a request left the host
//! > report c1 kv | kv-staged PATH… | kv-failed  the same with a kv write
//! > report c1 asks WORDS | asks-of CHOICE…  | calls TOOL=ARGUMENTS
//! > put c1 applied | conflict PATH | failed
//! > reply q1 WORDS | decline q1               `|` in the words is the end of a line
//! > open session                             with the session's own tools
//! > plan p1 approve [MODE] | plan p1 reject WORDS
//! > undo c1 c2 of PATH…
//! > message steer|queue|interrupt WORDS | withdraw m1
//! > budget b.tokens=N b.cost=N b.work=N b.fuel=N b.calls=N b.steps=N   of the session; in a prompt of the turn
//! > say WORDS used=INPUT+OUTPUT | call … used=… cost=MICRO-USD | model MODEL price=INPUT+OUTPUT        a million tokens
//! > open mode=NAME[:POLICY][>LEADS-TO][[TOOL,…]] | mode NAME | modes MODE… | model MODEL
//! > policy c1|TOOL=ARGUMENTS allow|ask|deny|abstain [narrow=ARGUMENTS] [by=POLICY]
//! > hook stop WORDS | hook mode NAME | hook note WORDS   at a prompt
//! > hook-before … [and …] | hook-after … | hook-end … | hook-call c1 …   before and after a step, at a turn's end, after a call
//! > grant CAPABILITY | revoke CAPABILITY     lent to the component `editor` by the user
//! > archive on | off | fork N WORDS | import PATH | rewind N     at the event N; by N inputs
//! > answer a1 yes | tool | no WORDS | wrong   `wrong` binds to another digest
//! > answer a1 edit ARGUMENTS
//! > answer a1 allow exact|tool|category|command:WORDS|path:GLOB [turn|workspace|…]  `_` in WORDS is a space
//! > forbid 1 [expired]                        the first allowance; 0 is none of them
//! > open trust agent=NAME                    trust is earned
//! > trust set TOOL LEVEL | trust reset [TOOL] | trust carry TOOL LEVEL APPROVED ERA
//! > review c1 good|bad | git COMMIT | git none
//! > carry TOOL…                               allowed in the workspace
//! ```

mod words;

use harness_core::budget::{Budget, Price, Reservation};
use harness_core::change::{Change, FileState, Manifest};
use harness_core::event::{
    Answer, AnswerCoverage, ApplyResult, Changes, Context, ForkFiles, GitState, ModelFailure, ModelFailureKind,
    ModelStop, PlanAnswer, TurnEnd, TurnLimits,
};
use harness_core::item::{Category, Effects};
use harness_core::message::Delivery;
use harness_core::mode::{HookAnswer, HookPoint, HookWish, ModeSpec, PolicyAnswer};
use harness_core::outcome::{FailureKind, Reply};
use harness_core::pattern::ArgumentPattern;
use harness_core::record::{KvSpace, KvWrite, RequestMade};
use harness_core::state::{CallStage, policy_subject};
use harness_core::trust::{TrustCounts, TrustKey, TrustLevel, TrustRecord};
use harness_core::verdict::{Allowance, Coverage, Rule};
use harness_core::*;
use std::collections::BTreeMap;
use std::sync::Arc;
pub(crate) use words::*;

/// Runs a script and compares all that followed.
#[track_caller]
pub(crate) fn check(script: &str) -> World {
    let mut world = World::default();
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let inputs = lines.iter().filter_map(|line| line.strip_prefix("> "));
    let found: Vec<String> = inputs.flat_map(|input| [format!("> {input}"), world.step(input)]).collect();
    let (expected, found) = (lines.join("\n"), found.join("\n"));
    assert!(expected == found, "\nexpected:\n{expected}\n\nfound:\n{found}\n");
    world
}

/// A session under test, with short names for its ids.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) state: SessionState,
    pub(crate) events: Vec<Event>,
    calls: Vec<CallId>,
    approvals: Vec<(ApprovalId, Digest)>,
    questions: Vec<QuestionId>,
    plans: Vec<PlanId>,
    undoings: Vec<CallId>,
    messages: Vec<MessageId>,
    epoch: u64,
    inputs: u64,
    past: Past,
}

/// States by the events before them: what a rewind goes back to.
pub(crate) type Past = BTreeMap<Sequence, SessionState>;

/// Decides on an input, a rewind too.
pub(crate) fn decided(state: &mut SessionState, past: &Past, input: Event) -> Result<Decision, Refusal> {
    match input {
        Event::SessionRewound { to } => decide_rewind(state, to, past.get(&to).cloned().unwrap_or_default()),
        input => decide(state, SessionId::from_bits(7), input),
    }
}

/// The fold of a whole log.
pub(crate) fn fold_all<'a>(events: impl Iterator<Item = &'a Event> + Clone) -> SessionState {
    let rewinds = events.clone().filter_map(|event| match event {
        Event::SessionRewound { to } => Some(*to),
        _ => None,
    });
    let mut fold = Fold::new(SessionState::default(), Sequence::START, rewinds);
    for event in events {
        fold.apply(event).unwrap();
    }
    fold.into_state()
}

fn tool(name: &str, category: Category, effects: Effects) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        parameters: serde_json::json!({"type": "object"}),
        category,
        effects,
        implementation: format!("test:{name}"),
        component: String::new(),
    }
}

/// Tools of every way to have effects.
pub(crate) fn tools() -> Vec<ToolSpec> {
    vec![
        tool("read", Category::Read, Effects::Staged),
        tool("edit", Category::Edit, Effects::Staged),
        ToolSpec {
            parameters: serde_json::json!({"type": "object", "properties": {"command": {"type": "string"}}}),
            ..tool("run", Category::Execute, Effects::Direct)
        },
        tool("fetch", Category::Network, Effects::Direct),
        tool("think", Category::Other, Effects::Staged),
        tool("send", Category::Network, Effects::Requesting),
    ]
}

pub(crate) fn manifest(paths: &[&str]) -> Manifest {
    let after = |path: &str| FileState::File { digest: Digest::of(path.as_bytes()), bytes: 1, executable: false };
    Manifest::new(
        paths.iter().map(|path| Change { path: (*path).into(), before: None, after: Some(after(path)) }).collect(),
    )
}

fn request() -> RequestMade {
    RequestMade {
        method: "POST".to_owned(),
        url: "http://there/".to_owned(),
        address: Some("192.0.2.1:80".to_owned()),
        status: Some(200),
        problem: None,
        request_bytes: 1,
        response_bytes: 1,
    }
}

impl World {
    pub(crate) fn step(&mut self, input: &str) -> String {
        let event = self.input(input);
        self.take(event)
    }

    pub(crate) fn answer_with(&mut self, approval: ApprovalId, binds_to: Digest, answer: Answer) -> String {
        self.take(Event::ApprovalAnswered { approval, binds_to, answer })
    }

    fn take(&mut self, event: Event) -> String {
        let before = self.state.clone();
        let result = decided(&mut self.state, &self.past, event.clone());
        let decision = match result {
            Ok(decision) => decision,
            Err(refusal) => {
                assert_eq!(self.state, before, "a refused input leaves the state as it was");
                return format!("refused: {}", self.named(&refusal.to_string()));
            }
        };
        assert_eq!(decision.events[0], event, "the input is the first event");
        let known = self.events.iter().chain(&decision.events);
        assert_eq!(fold_all(known), self.state, "the state is the fold of the events");
        if self.state.turn.as_ref().is_none_or(|turn| turn.calls().is_empty()) {
            assert_eq!(provider_problem(&self.state.history), None);
        }
        let events: Vec<String> = decision.events[1..].iter().map(|event| self.event(event)).collect();
        let commands: Vec<String> = decision.commands.iter().map(|command| self.command(command)).collect();
        self.events.extend(decision.events);
        self.past.insert(Sequence(self.events.len() as u64), self.state.clone());
        let (events, commands) = (events.join(", "), commands.join(", "));
        match (events.as_str(), commands.as_str()) {
            ("", "") => "-".to_owned(),
            (events, "") => events.to_owned(),
            ("", commands) => format!("=> {commands}"),
            (events, commands) => format!("{events} => {commands}"),
        }
    }

    fn input(&mut self, line: &str) -> Event {
        self.inputs += 1;
        let entropy = format!("{:032x}", self.inputs);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        match verb {
            "create" => Event::SessionCreated { workspace: "/w".to_owned(), title: None },
            "open" => self.open(&words),
            "archive" => Event::SessionArchived { archived: rest == "on" },
            "fork" => {
                let (at, title) = rest.split_once(' ').unwrap();
                let files = ForkFiles::Copied { workspace: "/copy".to_owned() };
                let (origin, at) = (SessionId::from_bits(8), Sequence(at.parse().unwrap()));
                Event::SessionForked { origin, at, title: title.to_owned(), files }
            }
            "import" => {
                let (origin, at) = (SessionId::from_bits(8), Sequence(self.events.len() as u64));
                Event::SessionImported { origin, at, workspace: rest.to_owned() }
            }
            "rewind" => {
                let inputs: usize = rest.parse().unwrap();
                let to = self.past.keys().rev().nth(inputs).copied();
                Event::SessionRewound { to: to.unwrap_or_default() }
            }
            "rename" => Event::SessionRenamed { title: rest.to_owned() },
            "prompt" => {
                let number = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.parse().ok());
                let mut limits = TurnLimits { output_tokens_max: number("tokens="), ..TurnLimits::default() };
                limits.steps_max = number("steps=").unwrap_or(limits.steps_max);
                limits.budget = budget(&words);
                Event::PromptReceived { entropy, text: rest.to_owned(), limits }
            }
            "say" => {
                let parts = vec![AssistantPart::Text { text: rest.to_owned() }];
                using(&words, responded(entropy, parts, ModelStop::EndOfTurn))
            }
            "cut" => responded(entropy, vec![AssistantPart::Text { text: rest.to_owned() }], ModelStop::OutputLimit),
            "call" => {
                let of_calls: Vec<&str> = words
                    .iter()
                    .copied()
                    .filter(|word| !word.starts_with("used=") && !word.starts_with("cost="))
                    .collect();
                using(&words, responded(entropy, calls(&of_calls), ModelStop::ToolCalls))
            }
            "fail" => failed(entropy, &words),
            "retry" => Event::RetryDue,
            "interrupt" => Event::InterruptRequested,
            "report" => self.report(&words),
            "put" => {
                let result = match words[1] {
                    "applied" => ApplyResult::Applied,
                    "conflict" => ApplyResult::Conflict { paths: vec![words[2].to_owned()] },
                    "failed" => ApplyResult::Failed { message: "disk full".to_owned() },
                    other => panic!("{other}"),
                };
                Event::ChangesPut { call: self.call_named(words[0]), result }
            }
            "answer" => self.answer(&words),
            "reply" => Event::QuestionAnswered {
                question: self.question_named(words[0]),
                answer: Some(rest.split_once(' ').unwrap().1.replace('|', "\n")),
            },
            "plan" => {
                let number: usize = words[0].trim_start_matches('p').parse().unwrap();
                let answer = match words[1] {
                    "approve" => PlanAnswer::Approve { mode: words.get(2).map(|mode| (*mode).to_owned()) },
                    "reject" => PlanAnswer::Reject { feedback: words[2..].join(" ") },
                    other => panic!("{other}"),
                };
                Event::PlanAnswered {
                    plan: self.plans.get(number - 1).copied().unwrap_or(PlanId::from_bits(99)),
                    answer,
                }
            }
            "decline" => Event::QuestionAnswered { question: self.question_named(words[0]), answer: None },
            "message" => {
                let message = MessageId::from_bits(u128::from(self.inputs));
                self.messages.push(message);
                let delivery = match words[0] {
                    "steer" => Delivery::Steer,
                    "queue" => Delivery::Queue,
                    "interrupt" => Delivery::Interrupt,
                    other => panic!("{other}"),
                };
                let text = words[1..].join(" ");
                Event::MessageReceived { message, text, delivery, limits: TurnLimits::default() }
            }
            "withdraw" => Event::MessageWithdrawn { message: self.message_named(words[0]) },
            "budget" => Event::BudgetSet { budget: budget(&words) },
            "mode" => Event::ModeChosen { mode: rest.to_owned() },
            "modes" => Event::ModesChanged { modes: words.iter().map(|word| mode(word)).collect() },
            "model" => {
                let price = words.iter().find_map(|word| word.strip_prefix("price=")).map(|price| {
                    let (input, output) = price.split_once('+').unwrap();
                    Price { input_micro_usd: input.parse().unwrap(), output_micro_usd: output.parse().unwrap() }
                });
                Event::ModelChosen { model: words[0].parse().unwrap(), price }
            }
            "policy" => self.policy(&words),
            "hook" => Event::HooksAnswered { point: HookPoint::Prompt, call: None, answers: vec![hook(&words)] },
            "hook-end" => Event::HooksAnswered { point: HookPoint::Stop, call: None, answers: vec![hook(&words)] },
            "hook-after" => {
                Event::HooksAnswered { point: HookPoint::AfterStep, call: None, answers: vec![hook(&words)] }
            }
            "hook-call" => {
                let (call, answers) = (Some(self.call_named(words[0])), vec![hook(&words[1..])]);
                Event::HooksAnswered { point: HookPoint::AfterCall, call, answers }
            }
            "hook-before" => Event::HooksAnswered { point: HookPoint::BeforeStep, call: None, answers: hooks(&words) },
            "grant" => Event::GrantGiven { grant: grant(rest) },
            "revoke" => Event::GrantRevoked { grant: grant(rest).id() },
            "undo" => {
                let undo = CallId::from_bits(1_000 + u128::from(self.inputs));
                self.undoings.push(undo);
                let at = words.iter().position(|word| *word == "of").unwrap();
                let of = words[..at].iter().map(|name| self.call_named(name)).collect();
                Event::UndoRequested { undo, of, manifest: manifest(&words[at + 1..]) }
            }
            "forbid" => {
                let number: usize = words[0].parse().unwrap();
                let allowance = number.checked_sub(1).map(|index| self.state.allowances[index].id());
                let expired = words.get(1) == Some(&"expired");
                Event::AllowanceRevoked { allowance: allowance.unwrap_or(AllowanceId::from_bits(99)), expired }
            }
            "trust" => self.trust(&words),
            "review" => Event::WorkReviewed { call: self.call_named(words[0]), accepted: words[1] == "good" },
            "carry" => {
                let of_tool = |tool: &&str| {
                    let allowance = Allowance::of_tool(*tool, "default.execute");
                    Allowance { scope: Scope::Workspace, ..allowance }
                };
                Event::AllowancesCarried { allowances: words.iter().map(of_tool).collect() }
            }
            "git" => {
                let (head, commit) = ("main".to_owned(), rest.to_owned());
                let git = GitState { head, commit, index: Some(Digest::of(rest.as_bytes())) };
                Event::WorkspaceObserved { git: (rest != "none").then_some(git) }
            }
            "derived" => Event::AllowanceGranted { allowance: Allowance::of_tool("run", "default.execute") },
            other => panic!("unknown input `{other}`"),
        }
    }

    fn open(&mut self, words: &[&str]) -> Event {
        self.epoch += 1;
        let mut context = Context {
            model: "test/model".parse().unwrap(),
            model_reason: "test".to_owned(),
            system: String::new(),
            tools: tools(),
            approve: ApproveMode::Ask,
            rules: Vec::new(),
            modes: Vec::new(),
            price: None,
            agent: "default".to_owned(),
            trust: false,
        };
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("approve", "none") => context.approve = ApproveMode::None,
                ("approve", "edits") => context.approve = ApproveMode::Edits,
                ("approve", "all") => context.approve = ApproveMode::All,
                ("trust", _) => context.trust = true,
                ("agent", agent) => context.agent = agent.to_owned(),
                ("session", _) => context.tools.extend(session_tools::specs()),
                ("mode", spec) => context.modes.push(mode(spec)),
                ("rule", rule) => context.rules.push(parse_rule(rule)),
                ("without", name) => context.tools.retain(|tool| tool.name != name),
                ("staged", name) => context.tools.iter_mut().filter(|tool| tool.name == name).for_each(|tool| {
                    tool.effects = Effects::Staged;
                }),
                ("direct", name) => context.tools.iter_mut().filter(|tool| tool.name == name).for_each(|tool| {
                    tool.effects = Effects::Direct;
                }),
                ("digest", names) => {
                    let (name, digest) = names.split_once(':').unwrap();
                    let of_it = context.tools.iter_mut().filter(|tool| tool.name == name);
                    of_it.for_each(|tool| tool.implementation = digest.to_owned());
                }
                ("component", names) => {
                    let (name, component) = names.split_once(':').unwrap();
                    let of_it = context.tools.iter_mut().filter(|tool| tool.name == name);
                    of_it.for_each(|tool| tool.component = component.to_owned());
                }
                ("same", _) => {
                    return Event::SessionOpened { host: "test".into(), epoch: Epoch(self.epoch), context: None };
                }
                other => panic!("unknown setting {other:?}"),
            }
        }
        Event::SessionOpened { host: "test".to_owned(), epoch: Epoch(self.epoch), context: Some(Arc::new(context)) }
    }

    /// `c1 allow|ask|deny` on what is judged now, `edit=ARGUMENTS …` before it is asked for.
    fn policy(&self, words: &[&str]) -> Event {
        let narrowed = words.iter().find_map(|word| word.strip_prefix("narrow=")).map(str::to_owned);
        let policy = words.iter().find_map(|word| word.strip_prefix("by=")).map(|word| Digest::of(word.as_bytes()));
        let policy = policy.or(self.state.mode().and_then(|mode| mode.policy)).unwrap_or(Digest::ZERO);
        let subject = match words[0].split_once('=') {
            Some((tool, arguments)) => policy_subject(tool, arguments, None),
            None => {
                let turn = self.state.turn.as_ref().unwrap();
                let call = turn.call(self.call_named(words[0])).unwrap();
                let staged = call.reported.as_ref().and_then(|it| it.staged());
                policy_subject(&call.tool, &call.arguments, staged)
            }
        };
        let verdict = (words[1] != "abstain").then(|| parse_verdict(words[1]));
        let (rule, words) = ("rule".to_owned(), "because.".to_owned());
        Event::PolicyAnswered {
            answers: vec![PolicyAnswer { subject, policy, verdict, rule, words, narrowed, fuel: 1 }],
        }
    }

    fn message_named(&self, name: &str) -> MessageId {
        let index: usize = name.trim_start_matches('m').parse().unwrap();
        self.messages.get(index - 1).copied().unwrap_or(MessageId::from_bits(9_999))
    }

    fn message_name(&self, id: MessageId) -> String {
        let index = self.messages.iter().position(|known| *known == id);
        index.map_or_else(|| id.to_string(), |index| format!("m{}", index + 1))
    }

    fn report(&self, words: &[&str]) -> Event {
        let (outcome, changes) = match words[1] {
            "returned" => (Outcome::text("ok"), Changes::None),
            "failed" => (Outcome::failed(FailureKind::NotFound, "", "gone"), Changes::None),
            "failed-staged" => {
                (Outcome::failed(FailureKind::Failed, "", "half"), Changes::Staged { manifest: manifest(&words[2..]) })
            }
            "staged" | "requested" => (Outcome::text("ok"), Changes::Staged { manifest: manifest(&words[2..]) }),
            "observed" => (Outcome::text("ok"), Changes::Observed { manifest: manifest(&words[2..]) }),
            "not-granted" => {
                let (component, capability) = ("editor".to_owned(), "question".parse().unwrap());
                (Outcome::NotGranted { component, capability: Box::new(capability) }, Changes::None)
            }
            "kv" => (Outcome::text("ok"), Changes::None),
            "kv-staged" => (Outcome::text("ok"), Changes::Staged { manifest: manifest(&words[2..]) }),
            "kv-failed" => (Outcome::failed(FailureKind::NotFound, "", "gone"), Changes::None),
            "asks" => (asks(words[2..].join(" "), Vec::new()), Changes::None),
            "asks-of" => {
                (asks("which".to_owned(), words[2..].iter().map(|it| (*it).to_owned()).collect()), Changes::None)
            }
            "calls" => {
                let (tool, arguments) = words[2].split_once('=').unwrap_or((words[2], "{}"));
                let (tool, arguments) = (tool.to_owned(), arguments.to_owned());
                // What it staged is dropped with it.
                let changes = Changes::Staged { manifest: manifest(&["dropped"]) };
                (Outcome::NeedsCall { tool, arguments, state: format!("state of {}", words[0]) }, changes)
            }
            other => panic!("{other}"),
        };
        let space = KvSpace { component: "editor".to_owned(), scope: Scope::Session, owner: "ses".to_owned() };
        let write = KvWrite { space, key: "k".to_owned(), value: None };
        let kv = if words[1].starts_with("kv") { vec![write] } else { Vec::new() };
        let requests = if words[1] == "requested" { vec![request()] } else { Vec::new() };
        let (call, usage) = (self.call_named(words[0]), CallUsage::default());
        let record = CallRecord { requests, kv, ..CallRecord::default() };
        Event::CallReported { call, outcome, changes, usage, record }
    }

    fn question_named(&self, name: &str) -> QuestionId {
        let number: usize = name.trim_start_matches('q').parse().unwrap();
        self.questions.get(number - 1).copied().unwrap_or(QuestionId::from_bits(99))
    }

    fn question_name(&self, id: QuestionId) -> String {
        let known = self.questions.iter().position(|it| *it == id);
        known.map_or_else(|| "q?".to_owned(), |index| format!("q{}", index + 1))
    }

    /// `set TOOL LEVEL`, `reset [TOOL]`, `carry TOOL LEVEL APPROVED ERA`.
    fn trust(&self, words: &[&str]) -> Event {
        let level = |word: &str| {
            let levels = [TrustLevel::Supervised, TrustLevel::SemiAutonomous, TrustLevel::Autonomous];
            levels.into_iter().find(|level| level.word() == word).unwrap()
        };
        let key = |tool: &str| {
            let tools = self.state.context.as_ref().map_or_else(tools, |context| context.tools.clone());
            self.state.trust_key(tools.iter().find(|it| it.name == tool).unwrap(), None)
        };
        match words[0] {
            "set" => Event::TrustSet { key: key(words[1]), level: level(words[2]) },
            "reset" => Event::TrustReset { key: words.get(1).map(|tool| key(tool)) },
            "carry" => {
                let key = TrustKey { agent: "default".to_owned(), ..key(words[1]) };
                let counts = TrustCounts { approved: words[3].parse().unwrap(), ..TrustCounts::default() };
                let (implementation, era) = (key.component.clone(), words[4].parse().unwrap());
                let began = if era == 0 { TrustLevel::Supervised } else { level(words[2]) };
                let record = TrustRecord {
                    key,
                    level: level(words[2]),
                    era,
                    began,
                    implementation,
                    evidence: counts,
                    total: counts,
                };
                Event::TrustCarried { records: vec![record] }
            }
            other => panic!("{other}"),
        }
    }

    /// Approvals that were asked for so far.
    pub(crate) fn approvals(&self) -> usize {
        self.approvals.len()
    }

    fn plan_name(&self, id: PlanId) -> String {
        let known = self.plans.iter().position(|it| *it == id);
        known.map_or_else(|| "p?".to_owned(), |index| format!("p{}", index + 1))
    }

    fn answer(&self, words: &[&str]) -> Event {
        let number: usize = words[0].trim_start_matches('a').parse().unwrap();
        let foreign = (ApprovalId::from_bits(99), Digest::ZERO);
        let (approval, mut binds_to) = *self.approvals.get(number - 1).unwrap_or(&foreign);
        let answer = match words[1] {
            "yes" => Answer::Yes,
            "edit" => Answer::Edited { arguments: words[2..].join(" ") },
            "allow" => allow(&words[2..]),
            "tool" => Answer::YesForTool,
            "no" => Answer::No { reason: words[2..].join(" ") },
            "wrong" => {
                binds_to = Digest::of(b"something else");
                Answer::Yes
            }
            other => panic!("{other}"),
        };
        Event::ApprovalAnswered { approval, binds_to, answer }
    }

    fn call_named(&self, name: &str) -> CallId {
        if let Some(number) = name.strip_prefix('u') {
            return self.undoings[number.parse::<usize>().unwrap() - 1];
        }
        let number: usize = name.trim_start_matches('c').parse().unwrap();
        self.calls.get(number - 1).copied().unwrap_or(CallId::from_bits(99))
    }

    fn call_name(&self, id: CallId) -> String {
        if let Some(index) = self.undoings.iter().position(|it| *it == id) {
            return format!("u{}", index + 1);
        }
        let known = self.calls.iter().position(|it| *it == id);
        known.map_or_else(|| "c?".to_owned(), |index| format!("c{}", index + 1))
    }

    fn approval_name(&self, id: ApprovalId) -> String {
        let known = self.approvals.iter().position(|(it, _)| *it == id);
        known.map_or_else(|| "a?".to_owned(), |index| format!("a{}", index + 1))
    }

    fn named(&self, text: &str) -> String {
        let mut text = text.replace(&CallId::from_bits(99).to_string(), "c?");
        text = text.replace(&ApprovalId::from_bits(99).to_string(), "a?");
        text = text.replace(&QuestionId::from_bits(99).to_string(), "q?");
        for id in &self.questions {
            text = text.replace(&id.to_string(), &self.question_name(*id));
        }
        text = text.replace(&PlanId::from_bits(99).to_string(), "p?");
        for id in &self.plans {
            text = text.replace(&id.to_string(), &self.plan_name(*id));
        }
        for id in &self.messages {
            text = text.replace(&id.to_string(), &self.message_name(*id));
        }
        for id in &self.calls {
            text = text.replace(&id.to_string(), &self.call_name(*id));
        }
        for (id, _) in &self.approvals {
            text = text.replace(&id.to_string(), &self.approval_name(*id));
        }
        text
    }

    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::TurnStarted { number, .. } => format!("turn {number}"),
            Event::ModelRequested { step, attempt, items, reserved } => {
                format!("request {step}.{attempt} items={items}{}", set_aside(*reserved))
            }
            Event::RetryScheduled { attempt, asked_by_provider, .. } => {
                format!("repeat {attempt}{}", if *asked_by_provider { " as asked" } else { "" })
            }
            Event::CallRequested { call, tool, arguments, parent, .. } => {
                self.calls.push(*call);
                let arguments = if arguments == "{}" { String::new() } else { format!(" {arguments}") };
                let parent = parent.map_or_else(String::new, |parent| format!(" for {}", self.call_name(parent)));
                format!("{} wants {tool}{arguments}{parent}", self.call_name(*call))
            }
            Event::QuestionAsked { question, call, component, words, choices, several } => {
                self.questions.push(*question);
                let choices = if choices.is_empty() { String::new() } else { format!(" [{}]", choices.join(" ")) };
                let question = self.question_name(*question);
                let component = if component.is_empty() { "model" } else { component };
                let several = if *several { " several" } else { "" };
                format!("{question} of {component} for {}: {words}{choices}{several}", self.call_name(*call))
            }
            Event::QuestionWithdrawn { question } => format!("{} withdrawn", self.question_name(*question)),
            Event::TodosChanged { todos, .. } => {
                let todos: Vec<_> = todos.iter().map(|todo| format!("{}:{:?}", todo.text, todo.status)).collect();
                format!("todos {}", todos.join(" "))
            }
            Event::PlanSubmitted { plan, call, title, .. } => {
                self.plans.push(*plan);
                format!("{} of {}: {title}", self.plan_name(*plan), self.call_name(*call))
            }
            Event::PlanWithdrawn { plan } => format!("{} withdrawn", self.plan_name(*plan)),
            Event::KvWritten { call } => format!("{} kv", self.call_name(*call)),
            Event::ChangesUndone { of, result, .. } => {
                let of: Vec<String> = of.iter().map(|call| self.call_name(*call)).collect();
                let how = if *result == ApplyResult::Applied { "undone" } else { "not undone" };
                format!("{how} {}", of.join(" "))
            }
            Event::CallJudged { call, verdict, .. } => {
                let kind = match verdict.kind {
                    VerdictKind::Allow => "allow",
                    VerdictKind::Ask => "ask",
                    VerdictKind::Deny => "deny",
                };
                format!("{} {kind} {}", self.call_name(*call), verdict.rule)
            }
            Event::CallStarted { call, .. } => format!("{} starts", self.call_name(*call)),
            Event::ApprovalAsked { approval, call, binds_to, rule, .. } => {
                self.approvals.push((*approval, *binds_to));
                format!("{} asks {} {rule}", self.approval_name(*approval), self.call_name(*call))
            }
            Event::ApprovalWithdrawn { approval } => format!("{} withdrawn", self.approval_name(*approval)),
            Event::AllowanceGranted { allowance } => {
                let covers = match &allowance.coverage {
                    Coverage::Tool => "",
                    Coverage::Exact { .. } => " exact",
                    Coverage::Pattern { .. } => " pattern",
                    Coverage::Category { .. } => " category",
                };
                let scope = if allowance.scope == Scope::Session { "" } else { allowance.scope.word() };
                format!("allowance {} {}{covers} {scope}", allowance.tool, allowance.rule).trim_end().to_owned()
            }
            Event::TrustLevelChanged { key, from, to, evidence, rule } => {
                let counts = (evidence.good(), evidence.bad());
                format!("{} {} to {} {counts:?} {rule}", key.tool, from.word(), to.word())
            }
            Event::ChangesAuthorized { call, manifest } => {
                self.assert_authorized(*call, *manifest);
                format!("{} authorized", self.call_name(*call))
            }
            Event::CallEnded { call, outcome, is_error, changes, .. } => {
                let paths: Vec<&str> = changes.entries().iter().map(|change| change.path.as_str()).collect();
                let mark = if *is_error { "!" } else { "" };
                let changed = if paths.is_empty() { String::new() } else { format!(" [{}]", paths.join(" ")) };
                format!("{} {outcome}{mark}{changed}", self.call_name(*call))
            }
            Event::TurnEnded { end, .. } => match end {
                TurnEnd::Stopped { by, words } => format!("end stopped by {by}: {words}"),
                TurnEnd::Stuck { tool, times } => format!("end stuck {tool} {times}"),
                TurnEnd::Done => "done".to_owned(),
                TurnEnd::Interrupted => "interrupted".to_owned(),
                TurnEnd::Limit { limit, maximum } => format!("limit {limit}={maximum}"),
                TurnEnd::Failed { failure } => format!("failed {}", failure.kind.word()),
            },
            Event::MessageDelivered { message } => format!("{} delivered", self.message_name(*message)),
            Event::MessageExpired { message, reason } => format!("{} expired: {reason}", self.message_name(*message)),
            Event::BudgetCrossed { limit, maximum } => format!("crossed {limit}={maximum}"),
            Event::RepetitionNoticed { call, times } => format!("{} again {times}", self.call_name(*call)),
            Event::ModeEntered { mode, reason, .. } => format!("mode {mode} ({reason})"),
            Event::ModeProposed { mode, by } => format!("{by} proposes {mode}"),
            Event::PolicyAsked { call, .. } => format!("{} judging", self.call_name(*call)),
            Event::ArgumentsReplaced { call, arguments, by } => {
                format!("{} is {arguments} by {by}", self.call_name(*call))
            }
            Event::NoteAdded { by, text, reserved } => {
                let at_once = reserved.map_or(String::new(), |it| format!(" at once{}", set_aside(it)));
                format!("{by} notes {text}{at_once}")
            }
            input => panic!("{} is an input", input.kind()),
        }
    }

    /// What is put in place is what was reported.
    fn assert_authorized(&self, call: CallId, authorized: Digest) {
        let Some(call) = self.state.turn.as_ref().and_then(|turn| turn.call(call)) else { return };
        assert_eq!(call.stage, CallStage::Putting);
        assert_eq!(call.reported.as_ref().and_then(|it| it.staged()).map(Manifest::digest), Some(authorized));
    }

    fn command(&self, command: &Command) -> String {
        match command {
            Command::CallModel => "ask model".to_owned(),
            Command::Wait { delay_ms } => format!("wait {delay_ms}"),
            Command::RunCall { call, resume: None, .. } => format!("run {}", self.call_name(*call)),
            Command::RunCall { call, resume: Some(resume), .. } => {
                let reply = match &resume.reply {
                    Reply::Answer { text } => format!("`{text}`"),
                    Reply::Unanswered => "no answer".to_owned(),
                    Reply::Outcome { is_error: false, .. } => "outcome".to_owned(),
                    Reply::Outcome { is_error: true, text } => {
                        format!("outcome! {}", text.split([' ', ':']).next().unwrap_or_default())
                    }
                };
                format!("run {} on {reply}", self.call_name(*call))
            }
            Command::PutChanges { call, manifest } => {
                let paths: Vec<&str> = manifest.entries().iter().map(|change| change.path.as_str()).collect();
                format!("put {} [{}]", self.call_name(*call), paths.join(" "))
            }
            Command::AskPolicy { question } => {
                let staged = if question.staged.is_some() { " staged" } else { "" };
                format!("judge {}{staged}", self.call_name(question.call.unwrap()))
            }
            Command::CancelModel => "cancel model".to_owned(),
            Command::CancelCall { call } => format!("cancel {}", self.call_name(*call)),
        }
    }

    /// What the model is told of a call's end.
    pub(crate) fn result(&self, name: &str) -> String {
        let id = self.call_named(name);
        let results = self.state.history.iter().filter_map(|item| match item.as_ref() {
            Item::ToolResults { results } => Some(results),
            _ => None,
        });
        results.flatten().find(|result| result.call == id).map(|result| result.text.clone()).unwrap()
    }
}
