//! Carrying out what the core asked for, beside the session's writer.
//!
//! Promise: at most one model request or wait, and one piece of work per call, is out at a time; each
//! result comes back as a wake; stopping drops the work, and a result of stopped work is not believed.
//! A port that panics is a result too: no session waits for a report that will never come.

use crate::actor::Wake;
use crate::arguments::Schemas;
use crate::crash;
use crate::host::Ports;
use crate::policy;
use crate::ports::{CallReport, CallRequest, Hands, HookOccasion, ModelDelta, ModelRequest, Policy, Resume};
use crate::session::{InFlight, Live};
use futures_util::FutureExt;
use harness_core::event::{Context, ModelFailure, ModelFailureKind, TurnEnd};
use harness_core::item::Effects;
use harness_core::mode::{HookAnswer, HookPoint, HookWish, PolicyQuestion};
use harness_core::{CallId, Command, Event, Manifest, Outcome, Sequence, SessionId, SessionState};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, mpsc};
use tokio::task::{AbortHandle, JoinHandle};

/// Who is told what comes of the work.
pub(crate) struct Told {
    /// The session's writer.
    pub(crate) wakes: mpsc::Sender<Wake>,
    /// Its subscribers.
    pub(crate) updates: broadcast::Sender<Arc<Live>>,
    /// Those who come while a response is in flight.
    pub(crate) in_flight: Arc<Mutex<InFlight>>,
}

/// The work that is out for one session.
pub(crate) struct Work {
    session: SessionId,
    ports: Ports,
    hands: Arc<dyn Hands>,
    schemas: Arc<Schemas>,
    policy: Arc<dyn Policy>,
    wakes: mpsc::Sender<Wake>,
    updates: broadcast::Sender<Arc<Live>>,
    in_flight: Arc<Mutex<InFlight>>,
    /// The context, and the same with another model.
    other_model: Option<(Arc<Context>, Arc<Context>)>,
    requests: u64,
    request: Option<AbortHandle>,
    calls: HashMap<CallId, AbortHandle>,
    puts: HashMap<CallId, JoinHandle<()>>,
}

impl Work {
    pub(crate) fn new(
        session: SessionId,
        ports: Ports,
        hands: Arc<dyn Hands>,
        schemas: Arc<Schemas>,
        policy: Arc<dyn Policy>,
        Told { wakes, updates, in_flight }: Told,
    ) -> Self {
        let (calls, puts) = (HashMap::new(), HashMap::new());
        let (other_model, requests, request) = (None, 0, None);
        Self {
            session,
            ports,
            hands,
            schemas,
            policy,
            wakes,
            updates,
            in_flight,
            other_model,
            requests,
            request,
            calls,
            puts,
        }
    }

    /// Starts what a command asks for. The events that ask for it are durable; `last` is the log's last.
    pub(crate) fn start(&mut self, command: Command, state: &SessionState, last: Sequence) {
        crash::point("command.start");
        match command {
            Command::CallModel => self.call_model(state, last),
            Command::Wait { delay_ms } => self.wait(delay_ms),
            Command::RunCall { call, tool, arguments, resume } => self.run_call(call, tool, &arguments, resume, state),
            Command::PutChanges { call, manifest } => self.put_changes(call, manifest),
            Command::AskPolicy { question } => self.ask_policy(*question),
            Command::CancelModel => {
                if let Some(request) = self.request.take() {
                    request.abort();
                }
            }
            Command::CancelCall { call } => {
                if let Some(work) = self.calls.remove(&call) {
                    work.abort();
                }
            }
        }
    }

    /// See [`policy::prepare`].
    pub(crate) fn prepare(&self, wake: Wake, state: &SessionState) -> Option<Wake> {
        policy::prepare(wake, state, &self.policy, &self.wakes)
    }

    /// What the hooks of a point without details want or say.
    pub(crate) async fn hooks(&self, point: HookPoint, state: &SessionState) -> Option<Event> {
        if !self.policy.has_hooks(point) {
            return None;
        }
        let occasion = policy::occasion(state, point, serde_json::json!({}));
        policy::hooks_answered(point, None, policy::run_hooks(self.policy.as_ref(), occasion).await)
    }

    /// Tells hooks that turns have ended, one after the other.
    pub(crate) fn tell_ends(&self, ends: Vec<TurnEnd>, state: &SessionState) {
        if ends.is_empty() || !self.policy.has_hooks(HookPoint::Stop) {
            return;
        }
        let occasion =
            |end: &TurnEnd| policy::occasion(state, HookPoint::Stop, serde_json::json!({ "reason": end.word() }));
        let occasions: Vec<HookOccasion> = ends.iter().map(occasion).collect();
        let (policy, wakes) = (Arc::clone(&self.policy), self.wakes.clone());
        tokio::spawn(async move {
            for occasion in occasions {
                let answers = policy::run_hooks(policy.as_ref(), occasion).await;
                if let Some(answered) = policy::hooks_answered(HookPoint::Stop, None, answers) {
                    let _ = wakes.send(Wake::Hooks { answered: Box::new(answered), turn: None }).await;
                }
            }
        });
    }

    fn ask_policy(&self, question: PolicyQuestion) {
        let (policy, wakes) = (Arc::clone(&self.policy), self.wakes.clone());
        // A question that nobody waits for any more is bounded, and its answer is declined.
        tokio::spawn(async move {
            let answer = Box::new(policy::judge(policy.as_ref(), question).await);
            let _ = wakes.send(Wake::Policy { answer }).await;
        });
    }

    /// Whether the result of this request or wait is still waited for; it is not any more.
    pub(crate) fn finish_request(&mut self, request: u64) -> bool {
        let is_out = self.is_out(request);
        if is_out {
            self.request = None;
        }
        is_out
    }

    /// From now on nobody waits for the request or wait that is out, though it is only stopped once that is durable:
    /// its result may be here already, and must not be taken for that of the next one.
    pub(crate) fn disown_request(&mut self) {
        self.requests += 1;
    }

    pub(crate) fn finish_call(&mut self, call: CallId) {
        self.calls.remove(&call);
        self.puts.remove(&call);
    }

    /// Stops everything that can be stopped and waits for changes that are being put in place, so that
    /// the next opener does not find this one still writing files.
    pub(crate) async fn stop_all(&mut self) {
        for work in self.request.take().into_iter().chain(self.calls.drain().map(|(_, work)| work)) {
            work.abort();
        }
        for (_, put) in self.puts.drain() {
            // A put that broke is done again by the next opener.
            let _ = put.await;
        }
    }

    fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Asks the model once hooks before the step were heard. What they want or say goes to the writer first, which
    /// comes back with [`Self::make_request`].
    fn call_model(&mut self, state: &SessionState, last: Sequence) {
        let request = self.next_request();
        if !self.policy.has_hooks(HookPoint::BeforeStep) {
            return self.send_request(request, None, state, last);
        }
        let step = state.turn.as_ref().map_or(0, |turn| turn.steps.saturating_add(1));
        let occasion = policy::occasion(state, HookPoint::BeforeStep, serde_json::json!({ "step": step }));
        self.send_request(request, Some(occasion), state, last);
    }

    /// Whether this request is the one that is out.
    pub(crate) fn is_out(&self, request: u64) -> bool {
        request == self.requests && self.request.is_some()
    }

    /// Asks the model what it is to be asked now that hooks were heard, if that is still wanted.
    pub(crate) fn make_request(&mut self, request: u64, state: &SessionState, last: Sequence) {
        if self.is_out(request) {
            self.send_request(request, None, state, last);
        }
    }

    fn send_request(&mut self, request: u64, before: Option<HookOccasion>, state: &SessionState, last: Sequence) {
        let Some(context) = self.context_of(state) else { return };
        let (policy, clock) = (Arc::clone(&self.policy), Arc::clone(&self.ports.clock));
        let output_tokens_max = state.turn.as_ref().and_then(|turn| turn.limits.output_tokens_max);
        let items = state.history.clone();
        let ask = ModelRequest { session: self.session, context, items, output_tokens_max };
        let (model, wakes, updates) = (Arc::clone(&self.ports.model), self.wakes.clone(), self.updates.clone());
        let in_flight = Arc::clone(&self.in_flight);
        let task = tokio::spawn(async move {
            if let Some(occasion) = before
                && let Some(answered) = before_step(policy.as_ref(), occasion).await
            {
                let _ = wakes.send(Wake::BeforeStep { request, answered: Box::new(answered) }).await;
                return;
            }
            let started = clock.now();
            let begin = InFlight { request: last, ..InFlight::default() };
            *in_flight.lock().unwrap_or_else(PoisonError::into_inner) = begin;
            let sink = move |delta: ModelDelta| {
                let mut so_far = in_flight.lock().unwrap_or_else(PoisonError::into_inner);
                let offset_bytes = match &delta {
                    ModelDelta::Text { text } => so_far.text.push(text),
                    ModelDelta::Reasoning { text } => so_far.reasoning.push(text),
                    ModelDelta::ToolCall { .. } | ModelDelta::ToolArguments { .. } => so_far.text.push(""),
                };
                let _ = updates.send(Arc::new(Live::Delta { request: last, offset_bytes, delta }));
            };
            let answered = AssertUnwindSafe(model.respond(ask, &sink)).catch_unwind().await;
            let result = answered.unwrap_or_else(|_| Err(broken_model()));
            let _ = wakes.send(Wake::Model { request, result, started }).await;
        });
        self.request = Some(task.abort_handle());
    }

    /// What the model is told: the context, with the model that is in force.
    fn context_of(&mut self, state: &SessionState) -> Option<Arc<Context>> {
        let context = state.context.as_ref()?;
        let Some(asked) = state.turn.as_ref()?.asked.as_ref().filter(|asked| **asked != context.model) else {
            return Some(Arc::clone(context));
        };
        // The same one for the same model: what was encoded of it is not encoded again.
        if let Some((of, other)) = &self.other_model
            && Arc::ptr_eq(of, context)
            && other.model == *asked
        {
            return Some(Arc::clone(other));
        }
        let other = Arc::new(Context { model: asked.clone(), ..(**context).clone() });
        self.other_model = Some((Arc::clone(context), Arc::clone(&other)));
        Some(other)
    }

    fn wait(&mut self, delay_ms: u64) {
        let request = self.next_request();
        let (clock, wakes) = (Arc::clone(&self.ports.clock), self.wakes.clone());
        let task = tokio::spawn(async move {
            clock.sleep(delay_ms).await;
            let _ = wakes.send(Wake::WaitOver { request }).await;
        });
        self.request = Some(task.abort_handle());
    }

    fn run_call(&mut self, call: CallId, tool: String, arguments: &str, resume: Option<Resume>, state: &SessionState) {
        let wakes = self.wakes.clone();
        let spec = state.tool(&tool).cloned();
        let is_direct = spec.as_ref().is_some_and(|spec| spec.effects != Effects::Staged);
        let granted = state.granted(call, self.ports.clock.now());
        let updates = self.updates.clone();
        // Without subscribers there is nobody to tell.
        let progress = move |progress| drop(updates.send(Arc::new(Live::Progress { call, progress })));
        let begun = CallRequest::new(self.session, call, tool, arguments);
        let ask = CallRequest { granted, resume, progress: Arc::new(progress), ..begun };
        let hands = Arc::clone(&self.hands);
        let schemas = Arc::clone(&self.schemas);
        let policy = Arc::clone(&self.policy);
        let before = policy.has_hooks(HookPoint::BeforeCall).then(|| {
            let details = serde_json::json!({ "tool": ask.tool, "arguments": policy::cut(&ask.arguments) });
            policy::occasion(state, HookPoint::BeforeCall, details)
        });
        let turn = state.turn.as_ref().map(|turn| turn.id);
        let task = tokio::spawn(async move {
            if let Some(occasion) = before {
                let answers = policy::run_hooks(policy.as_ref(), occasion).await;
                let stop = stop_of(&answers);
                let answered = policy::hooks_answered(HookPoint::BeforeCall, Some(call), answers);
                if let Some((rule, words)) = stop {
                    // It has not run: that is reported in the append that stops the turn.
                    let report = Box::new(CallReport::of(Outcome::Denied { rule, words }));
                    let (inputs, wake) = (answered.into_iter().collect(), Box::new(Wake::Call { call, report }));
                    let _ = wakes.send(Wake::Prepared { inputs, wake, turn }).await;
                    return;
                }
                if let Some(answered) = answered {
                    let _ = wakes.send(Wake::Hooks { answered: Box::new(answered), turn }).await;
                }
            }
            // Not in the writer: a large schema over large arguments takes its time.
            let report = match spec.map_or(Ok(()), |spec| schemas.check(&spec, &ask.arguments)) {
                Ok(()) => {
                    let executed = AssertUnwindSafe(hands.execute(ask)).catch_unwind().await;
                    executed.unwrap_or_else(|_| broken_hand(is_direct))
                }
                Err(outcome) => CallReport::of(*outcome),
            };
            let _ = wakes.send(Wake::Call { call, report: Box::new(report) }).await;
        });
        self.calls.insert(call, task.abort_handle());
    }

    fn put_changes(&mut self, call: CallId, manifest: Manifest) {
        let (wakes, hands, blobs) = (self.wakes.clone(), Arc::clone(&self.hands), Arc::clone(&self.ports.blobs));
        let task = tokio::spawn(async move {
            let put = AssertUnwindSafe(hands.put(call, &manifest, blobs.as_ref())).catch_unwind().await;
            let wake = match put {
                Ok(result) => Wake::Put { call, result },
                Err(_) => Wake::Broken { what: format!("BUG: the changes of {call} were left half in place") },
            };
            // Where the writer has stopped nobody reads this any more, and it does not wait either.
            let _ = wakes.send(wake).await;
        });
        self.puts.insert(call, task);
    }
}

/// Work whose writer is gone has nobody to report to.
impl Drop for Work {
    fn drop(&mut self) {
        for work in self.request.iter().chain(self.calls.values()) {
            work.abort();
        }
    }
}

async fn before_step(policy: &dyn Policy, occasion: HookOccasion) -> Option<Event> {
    policy::hooks_answered(HookPoint::BeforeStep, None, policy::run_hooks(policy, occasion).await)
}

/// The first wish to stop, as rule and words.
fn stop_of(answers: &[HookAnswer]) -> Option<(String, String)> {
    answers.iter().find_map(|answer| match &answer.wish {
        HookWish::Stop { reason } => Some((format!("hook.{}", answer.component), reason.clone())),
        HookWish::GoOn | HookWish::Mode { .. } => None,
    })
}

/// What is said of a hand that broke instead of saying so itself.
fn broken_hand(is_direct: bool) -> CallReport {
    CallReport::of(if is_direct {
        Outcome::InDoubt
    } else {
        Outcome::Faulted { what: "BUG: the code that runs this tool broke".to_owned() }
    })
}

fn broken_model() -> ModelFailure {
    ModelFailure {
        kind: ModelFailureKind::MalformedStream,
        message: "BUG: the code that talks to the provider broke".to_owned(),
        status: None,
        retry_after_ms: None,
    }
}
