//! The writer of one session: a task that takes inputs one after the other.
//!
//! Promise: for every input it decides, appends, and only then tells subscribers and carries out
//! commands. Whatever is ready at the same time is appended together. After a failed append it is
//! finished: what it believed is dropped and the log is read again by the next opener.
//!
//! Not here: carrying out (`work`), going back and keeping checkpoints (`keep`), what other processes give (`inbox`),
//! what other sessions take back (`follow`).

mod follow;
mod hearing;
mod inbox;
mod keep;

use crate::arguments::Schemas;
use crate::capture;
use crate::carried::{self, Carried};
use crate::checkpoint::{CheckpointPolicy, Kept, Made};
use crate::crash;
use crate::display::ScreenPlace;
use crate::grants;
use crate::host::{NewSession, OpenError, Ports};
use crate::load::{LoadedSession, load_to};
use crate::ports::{
    AppendError, Blob, CallReport, Consumed, GrantLists, Hands, ModelResponse, Policy, Said, SessionAppend, UnreadEntry,
};
use crate::said;
use crate::session::{Live, LoggedEvent, Session, SessionError};
use crate::storable;
use crate::work::{Told, Work};
use harness_core::envelope::{SealContext, SealedEvent, seal};
use harness_core::event::{ApplyResult, Context, ModelFailure, TurnEnd, TurnLimits};
use harness_core::mode::{HookPoint, PolicyAnswer};
use harness_core::record::KvWrite;
use harness_core::{
    Actor, CallId, Command, Decision, Epoch, Event, Grant, Origin, Refusal, Sequence, SessionId, TimeMs, Tip, TurnId,
    decide,
};
use std::sync::{Arc, OnceLock};
use tokio::sync::{broadcast, mpsc, oneshot};

/// Wakes that wait for the actor at most; senders wait beyond it.
const WAKES_MAX: usize = 256;
/// Updates kept for slow subscribers; beyond it they catch up from the log.
const UPDATES_MAX: usize = 1_024;
/// Wakes taken together into one append.
const WAKES_PER_APPEND_MAX: usize = 64;

type Reply = oneshot::Sender<Result<(), Refusal>>;

/// Everything that can wake a session's writer.
pub(crate) enum Wake {
    /// Someone speaks.
    Prompt { text: String, limits: TurnLimits, reply: Reply },
    /// A person answers, interrupts, renames, grants, undoes.
    Answer { event: Box<Event>, reply: Reply },
    /// Another process gave an input.
    Given { entry: Box<UnreadEntry> },
    /// The configuration's grants are these.
    Grants { grants: Vec<Grant>, reply: Reply },
    /// From now on the configuration's grants are read from here.
    FollowGrants { lists: Arc<dyn GrantLists> },
    /// The model has answered or failed.
    Model { request: u64, result: Result<ModelResponse, ModelFailure>, started: TimeMs },
    /// A wait is over.
    WaitOver { request: u64 },
    /// A hand has reported.
    Call { call: CallId, report: Box<CallReport> },
    /// A hand has put changes in place, or not.
    Put { call: CallId, result: ApplyResult },
    /// A policy was asked about a call.
    Policy { answer: Box<PolicyAnswer> },
    /// Hooks wanted something; `turn` is the one that they heard of, where they heard of one under way.
    Hooks { answered: Box<Event>, turn: Option<TurnId> },
    /// Hooks wanted something before a request is made, which waits for that.
    BeforeStep { request: u64, answered: Box<Event> },
    /// What had to be asked before a wake is taken was asked; `turn` as for [`Self::Hooks`].
    Prepared { inputs: Vec<Event>, wake: Box<Wake>, turn: Option<TurnId> },
    /// Something was left in a state that only opening the session again can mend.
    Broken { what: String },
    /// A person goes back to an earlier event.
    Rewind { to: Sequence, reply: oneshot::Sender<Result<Sequence, SessionError>> },
    /// A checkpoint was made, or could not be.
    Checkpoint { made: Option<Box<Made>> },
    /// Someone wants to see the state.
    Snapshot { reply: oneshot::Sender<LoadedSession> },
    /// The owner closes the session.
    Close { reply: oneshot::Sender<()> },
}

/// What a session is opened with.
pub(crate) struct Opening {
    pub(crate) id: SessionId,
    pub(crate) epoch: Epoch,
    pub(crate) new: Option<NewSession>,
    pub(crate) context: Context,
    /// The configuration's grants; none leaves them as they are.
    pub(crate) grants: Option<Vec<Grant>>,
    pub(crate) loaded: LoadedSession,
    /// What is kept of its conversation.
    pub(crate) kept: Kept,
    pub(crate) checkpoints: CheckpointPolicy,
}

struct SessionWriter {
    id: SessionId,
    epoch: Epoch,
    ports: Ports,
    session: LoadedSession,
    updates: broadcast::Sender<Arc<Live>>,
    work: Work,
    /// Where the configuration's grants are looked up when calls start.
    lists: Option<Arc<dyn GrantLists>>,
    keep: keep::Keep,
    /// What reaches beyond the session.
    carried: Carried,
    /// Why the writer stopped, for everybody who still holds the session.
    fault: Arc<OnceLock<String>>,
    /// The entry of the inbox that it stopped at.
    poison: Option<Consumed>,
    hearing: hearing::Hearing,
}

/// One input on its way, with who waits to hear that it was taken.
struct Taken {
    actor: Actor,
    event: Event,
    blobs: Vec<Blob>,
    reply: Option<Reply>,
}

/// What one append will carry.
#[derive(Default)]
struct Batch {
    sealed: Vec<SealedEvent>,
    logged: Vec<Arc<LoggedEvent>>,
    commands: Vec<Command>,
    blobs: Vec<Blob>,
    kv: Vec<KvWrite>,
    said: Vec<Said>,
    /// What the inputs were in the inbox.
    consumed: Vec<Consumed>,
    replies: Vec<Reply>,
    /// The request that is made once this is durable: hooks were heard before it.
    heard_before: Option<u64>,
    /// What other sessions took back is known.
    is_followed: bool,
    /// Other sessions have to hear of it.
    takes_back: bool,
}

/// Writes a session's first events and starts its writer.
pub(crate) async fn start(
    opening: Opening,
    ports: Ports,
    version: String,
    hands: Arc<dyn Hands>,
    schemas: Arc<Schemas>,
    policy: Arc<dyn Policy>,
) -> Result<Session, OpenError> {
    let Opening { id, epoch, new, context, grants, loaded, kept, checkpoints } = opening;
    let (wakes, inbox) = mpsc::channel(WAKES_MAX);
    let (updates, _) = broadcast::channel(UPDATES_MAX);
    let fault = Arc::new(OnceLock::new());
    let session = Session {
        id,
        wakes: wakes.clone(),
        updates: updates.downgrade(),
        fault: Arc::clone(&fault),
        log: Arc::clone(&ports.log),
        blobs: Arc::clone(&ports.blobs),
        ids: Arc::clone(&ports.ids),
        in_flight: Arc::default(),
        screen: ScreenPlace::default(),
    };
    let keep = keep::Keep::new(kept, checkpoints, wakes.clone());
    let in_flight = Arc::clone(&session.in_flight);
    let told = Told { wakes: wakes.clone(), updates: updates.clone(), in_flight };
    let work = Work::new(id, ports.clone(), hands, schemas, policy, told);
    let carried = Carried::default();
    let (lists, poison, hearing) = (None, None, hearing::Hearing::default());
    let mut writer = SessionWriter {
        id,
        epoch,
        ports,
        session: loaded,
        updates,
        work,
        lists,
        keep,
        carried,
        fault,
        poison,
        hearing,
    };
    // Hooks take their time: what is in force is read after them.
    let said = writer.work.hooks(HookPoint::SessionStart, &writer.session.state).await;
    let begun = match writer.read_carried(new.as_ref(), &context).await {
        Ok(carried) => {
            let mut first = writer.opening_inputs(new, carried, context, grants, version);
            first.extend(said);
            writer.begin(first).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = begun {
        writer.release().await;
        return Err(error);
    }
    let (given, clock) = (Arc::clone(&writer.ports.inbox), Arc::clone(&writer.ports.clock));
    tokio::spawn(inbox::watch(id, given, clock, wakes));
    tokio::spawn(writer.run(inbox));
    Ok(session)
}

impl SessionWriter {
    /// Reads what reaches beyond the session; gives the inputs that tell it.
    async fn read_carried(&mut self, new: Option<&NewSession>, context: &Context) -> Result<Vec<Event>, OpenError> {
        let state = &self.session.state;
        let workspace = new.map_or(state.workspace.as_str(), |new| new.workspace.as_str());
        let now = self.ports.clock.now();
        let (carried, inputs) = Carried::read(self.ports.kv.as_ref(), self.id, state, workspace, context, now).await?;
        self.carried = carried;
        Ok(inputs)
    }

    fn opening_inputs(
        &self,
        new: Option<NewSession>,
        carried: Vec<Event>,
        context: Context,
        grants: Option<Vec<Grant>>,
        version: String,
    ) -> Vec<Event> {
        let same = self.session.state.context.as_deref() == Some(&context);
        let created = new.map(|new| Event::SessionCreated { workspace: new.workspace, title: new.title });
        let opened =
            Event::SessionOpened { host: version, epoch: self.epoch, context: (!same).then(|| Arc::new(context)) };
        let granted = grants.map_or_else(Vec::new, |grants| grants::inputs(&self.session.state.grants, grants));
        created.into_iter().chain(granted).chain(carried).chain([opened]).collect()
    }

    async fn begin(&mut self, first: Vec<Event>) -> Result<(), OpenError> {
        let mut batch = Batch::default();
        for event in first {
            if let Some(problem) = storable::problem(&event) {
                return Err(OpenError::Unstorable(problem));
            }
            self.take(&mut batch, Taken { actor: Actor::Host, event, blobs: Vec::new(), reply: None })?;
        }
        Ok(self.commit(batch).await?)
    }

    /// What hooks have to say when a session is closed: the last that is written.
    async fn end(&mut self) {
        let Some(event) = self.work.hooks(HookPoint::SessionEnd, &self.session.state).await else { return };
        let mut batch = Batch::default();
        let taken = Taken { actor: Actor::Host, event, blobs: Vec::new(), reply: None };
        if let Err(refusal) = self.take(&mut batch, taken) {
            tracing::debug!(session = %self.id, %refusal, "what hooks said at the end was declined");
        }
        let _ = self.commit(batch).await;
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Wake>) {
        let mut closer = None;
        while let Some(first) = inbox.recv().await {
            let mut batch = Batch::default();
            let mut next = Some(first);
            for _ in 0..WAKES_PER_APPEND_MAX {
                let Some(wake) = next.take().or_else(|| inbox.try_recv().ok()) else { break };
                match wake {
                    Wake::Close { reply } => {
                        closer = Some(reply);
                        break;
                    }
                    // What is believed may be wrong by now: nothing more is decided on it.
                    _ if self.fault.get().is_some() => {}
                    Wake::Snapshot { reply } => {
                        // What is shown must be durable first.
                        if self.commit(std::mem::take(&mut batch)).await.is_err() {
                            break;
                        }
                        let _ = reply.send(self.session.clone());
                    }
                    Wake::Rewind { to, reply } => {
                        // What is gone back to is read from the log: it must be there first.
                        if self.commit(std::mem::take(&mut batch)).await.is_err() {
                            break;
                        }
                        let _ = reply.send(self.rewind(to).await);
                    }
                    Wake::Checkpoint { made } => self.keep.made(made),
                    Wake::Broken { what } => self.stop(what),
                    Wake::Grants { grants, reply } => self.take_grants(&mut batch, grants, reply),
                    Wake::FollowGrants { lists } => self.lists = Some(lists),
                    other => self.take_wake(&mut batch, other).await,
                }
            }
            // After a fault what is believed may not be what is durable: nothing more is written.
            if self.fault.get().is_none() {
                let _ = self.commit(batch).await;
            }
            if closer.is_some() && self.fault.get().is_none() {
                self.end().await;
            }
            if self.fault.get().is_some() || closer.is_some() {
                break;
            }
        }
        drop(inbox);
        self.work.stop_all().await;
        self.drop_poison().await;
        if self.fault.get().is_none() {
            self.keep_last().await;
        }
        if let Some(fault) = self.fault.get() {
            tracing::error!(session = %self.id, %fault, "the session's writer stopped");
        }
        self.release().await;
        let _ = self.updates.send(Arc::new(Live::Closed));
        if let Some(reply) = closer {
            let _ = reply.send(());
        }
    }

    /// Has the writer stop after the wake it is at. The first reason counts.
    fn stop(&self, fault: impl ToString) {
        let _ = self.fault.set(fault.to_string());
    }

    async fn release(&self) {
        if let Err(error) = self.ports.lease.release(self.id, self.epoch).await {
            tracing::warn!(session = %self.id, %error, "the session was not given back");
        }
    }

    fn entropy(&self) -> String {
        self.ports.ids.entropy().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Turns a wake into an input, or drops it where nobody waits for it any more.
    fn input_of(&mut self, wake: Wake) -> Option<Taken> {
        let person = || Actor::Principal("person".to_owned());
        let model = |writer: &Self| {
            let context = writer.session.state.context.as_ref();
            Actor::Model(context.map_or_else(String::new, |context| context.model.to_string()))
        };
        let taken = match wake {
            Wake::Prompt { text, limits, reply } => {
                let event = Event::PromptReceived { entropy: self.entropy(), text, limits };
                Taken { actor: person(), event, blobs: Vec::new(), reply: Some(reply) }
            }
            Wake::Answer { event, reply } => {
                let is_observed = matches!(*event, Event::WorkspaceObserved { .. });
                let actor = if is_observed { Actor::Host } else { person() };
                Taken { actor, event: *event, blobs: Vec::new(), reply: Some(reply) }
            }
            Wake::Model { request, result, started } => {
                if !self.work.finish_request(request) {
                    return None;
                }
                crash::point("command.end");
                let entropy = self.entropy();
                let event = match result {
                    Ok(response) => Event::ModelResponded {
                        entropy,
                        parts: response.parts,
                        stop: response.stop,
                        usage: response.usage,
                        provider_response: response.provider_response,
                        time_ms: u64::try_from(self.ports.clock.now().0.saturating_sub(started.0)).unwrap_or(0),
                    },
                    Err(failure) => Event::ModelFailed { entropy, failure },
                };
                Taken { actor: model(self), event, blobs: Vec::new(), reply: None }
            }
            Wake::WaitOver { request } => {
                if !self.work.finish_request(request) {
                    return None;
                }
                crash::point("command.end");
                Taken { actor: Actor::Host, event: Event::RetryDue, blobs: Vec::new(), reply: None }
            }
            Wake::Call { call, mut report } => {
                self.work.finish_call(call);
                crash::point("command.end");
                let now = self.ports.clock.now();
                grants::name_who_lacks(&self.session.state, call, now, &mut report.outcome);
                capture::cut(&mut report);
                let state = &self.session.state;
                let tool = state.turn.as_ref().and_then(|turn| turn.call(call)).map(|call| call.tool.clone());
                let spec = tool.as_deref().and_then(|tool| state.tool(tool));
                storable::make_sound(&mut report, spec.map_or("", |spec| spec.component.as_str()), self.id);
                let actor = Actor::Component(tool.unwrap_or_default());
                let CallReport { outcome, changes, contents, usage, record } = *report;
                Taken {
                    actor,
                    event: Event::CallReported { call, outcome, changes, usage, record },
                    blobs: contents,
                    reply: None,
                }
            }
            Wake::Put { call, result } => {
                self.work.finish_call(call);
                crash::point("command.end");
                Taken { actor: Actor::Host, event: Event::ChangesPut { call, result }, blobs: Vec::new(), reply: None }
            }
            Wake::Policy { answer } => {
                let event = Event::PolicyAnswered { answers: vec![*answer] };
                Taken { actor: Actor::Host, event, blobs: Vec::new(), reply: None }
            }
            Wake::Hooks { answered, turn } => {
                if self.is_over(turn) {
                    return None;
                }
                Taken { actor: Actor::Host, event: *answered, blobs: Vec::new(), reply: None }
            }
            Wake::BeforeStep { .. }
            | Wake::Given { .. }
            | Wake::Grants { .. }
            | Wake::Prepared { .. }
            | Wake::FollowGrants { .. }
            | Wake::Rewind { .. }
            | Wake::Checkpoint { .. }
            | Wake::Broken { .. }
            | Wake::Snapshot { .. }
            | Wake::Close { .. } => return None,
        };
        Some(taken)
    }

    /// Takes a wake for which nothing has to be asked, or everything was.
    async fn take_now(&mut self, batch: &mut Batch, wake: Wake) {
        if self.follow(batch, follow::Look::before(&wake)).await.is_err() {
            return;
        }
        if let Wake::Given { entry } = wake {
            return self.take_given(batch, *entry);
        }
        if let Wake::BeforeStep { request, answered } = wake {
            // What was said of a step that is not made any more counts for nothing.
            if self.work.is_out(request) {
                batch.heard_before = Some(request);
                let taken = Taken { actor: Actor::Host, event: *answered, blobs: Vec::new(), reply: None };
                self.take_or_decline(batch, taken);
            }
            return;
        }
        let Some(taken) = self.input_of(wake) else { return };
        self.take_or_decline(batch, taken);
    }

    fn take_or_decline(&mut self, batch: &mut Batch, mut taken: Taken) {
        taken.event = storable::or_failure(taken.event);
        let reply = taken.reply.take();
        let result = self.take(batch, taken);
        if let Err(refusal @ Refusal::Inconsistent(_)) = &result {
            // Only a refusal before anything was decided leaves the state as it was.
            self.stop(refusal);
        }
        match (result, reply) {
            (Ok(()), Some(reply)) => batch.replies.push(reply),
            (Err(refusal), Some(reply)) => {
                let _ = reply.send(Err(refusal));
            }
            // A report that nobody waits for: the call was interrupted meanwhile.
            (Err(refusal), None) => tracing::debug!(session = %self.id, %refusal, "an input was declined"),
            (Ok(()), None) => {}
        }
    }

    /// Gives and revokes what differs from the configuration's grants: all of it or nothing.
    fn take_grants(&mut self, batch: &mut Batch, grants: Vec<Grant>, reply: Reply) {
        let known = &self.session.state.grants;
        if !grants::fit(known, &grants) {
            let _ = reply.send(Err(Refusal::TooManyGrants));
            return;
        }
        match self.take_fitting(batch, grants) {
            Ok(true) => batch.replies.push(reply),
            Ok(false) => drop(reply.send(Ok(()))),
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
    }

    /// Gives and revokes what differs from grants that fit. Says whether anything did.
    fn take_fitting(&mut self, batch: &mut Batch, grants: Vec<Grant>) -> Result<bool, Refusal> {
        let inputs = grants::inputs(&self.session.state.grants, grants);
        let differs = !inputs.is_empty();
        for event in inputs {
            let taken = Taken { actor: Actor::Host, event, blobs: Vec::new(), reply: None };
            self.take(batch, taken).inspect_err(|refusal| self.stop(refusal))?;
        }
        Ok(differs)
    }

    /// Where a batch starts calls: what was given or revoked meanwhile joins it, and is in force for them.
    async fn follow_lists(&mut self, batch: &mut Batch) -> Result<(), Refusal> {
        let starts_calls = batch.commands.iter().any(|command| matches!(command, Command::RunCall { .. }));
        let Some(lists) = self.lists.clone().filter(|_| starts_calls) else { return Ok(()) };
        let Some(mut grants) = lists.changed().await else { return Ok(()) };
        let known = &self.session.state.grants;
        if !grants::fit(known, &grants) {
            tracing::warn!(session = %self.id, refusal = %Refusal::TooManyGrants, "no new grant is given");
            grants::only_known(known, &mut grants);
        }
        self.take_fitting(batch, grants).map(drop)
    }

    /// The kv writes that come into force if the call that this input is about ends well.
    fn kv_of(&self, input: &Event) -> Vec<KvWrite> {
        match input {
            Event::CallReported { record, .. } => record.kv.clone(),
            Event::ChangesPut { call, .. } => {
                let call = self.session.state.turn.as_ref().and_then(|turn| turn.call(*call));
                let reported = call.and_then(|call| call.reported.as_ref());
                reported.map_or_else(Vec::new, |reported| reported.record.kv.clone())
            }
            _ => Vec::new(),
        }
    }

    /// Decides on one input and adds what follows to the batch. What has come to its end by then is said first, and
    /// the log says the same time for all of it.
    fn take(&mut self, batch: &mut Batch, taken: Taken) -> Result<(), Refusal> {
        let now = self.ports.clock.now();
        carried::check_end(&taken.event, now)?;
        for event in carried::expired(&self.session.state, now) {
            self.take_one(batch, Taken { actor: Actor::Host, event, blobs: Vec::new(), reply: None }, now)?;
        }
        self.take_one(batch, taken, now)
    }

    fn take_one(&mut self, batch: &mut Batch, taken: Taken, now: TimeMs) -> Result<(), Refusal> {
        let kv = self.kv_of(&taken.event);
        let decision = decide(&mut self.session.state, self.id, taken.event)?;
        if decision.events.iter().any(|event| matches!(event, Event::KvWritten { .. })) {
            batch.kv.extend(kv);
        }
        let carried = self.carried.writes(self.id, &self.session.state, &decision.events);
        batch.takes_back |= !carried.is_empty() && carried::takes_back(&decision.events);
        batch.kv.extend(carried);
        batch.blobs.extend(taken.blobs);
        self.add(batch, decision, taken.actor, now);
        Ok(())
    }

    /// Adds what follows from an input to the batch.
    fn add(&mut self, batch: &mut Batch, decision: Decision, actor: Actor, time: TimeMs) {
        let context = SealContext {
            tenant: self.session.tenant.clone(),
            session: self.id,
            lineage: self.session.lineage,
            time,
            actor,
        };
        let (sealed, tip) = seal(self.tip_after(batch), &context, &decision.events, || self.ports.ids.entropy());
        debug_assert_eq!(tip.sequence.0, self.tip_after(batch).sequence.0 + sealed.len() as u64);
        batch
            .said
            .extend(decision.events.iter().zip(&sealed).filter_map(|(event, sealed)| said::of(&sealed.header, event)));
        let events = decision.events.into_iter().zip(&sealed);
        batch.logged.extend(
            events.map(|(event, sealed)| Arc::new(LoggedEvent { header: sealed.header.clone(), event: Some(event) })),
        );
        batch.sealed.extend(sealed);
        if decision.commands.contains(&Command::CancelModel) {
            self.work.disown_request();
        }
        batch.commands.extend(decision.commands);
        self.session.updated = context.time;
    }

    fn tip_after(&self, batch: &Batch) -> Tip {
        batch.sealed.last().map_or(self.session.tip, |last| Tip {
            sequence: last.header.sequence,
            hash: harness_core::Digest::of(&last.header_bytes),
        })
    }

    /// Makes a batch durable, then tells everybody, then acts.
    async fn commit(&mut self, batch: Batch) -> Result<(), AppendError> {
        if batch.sealed.is_empty() && batch.consumed.is_empty() {
            self.make_request(batch.heard_before);
            return Ok(());
        }
        let mut batch = batch;
        if let Err(refusal) = self.follow_lists(&mut batch).await {
            return Err(AppendError::Storage(refusal.to_string()));
        }
        let mut appended = self.append(&mut batch).await;
        if let Err(error @ AppendError::Quota { .. }) = &appended {
            // Nothing was written. Without the contents there is room, and the calls that made them fail.
            appended = match self.again_without_contents(&mut batch, error).await {
                Ok(()) => self.append(&mut batch).await,
                Err(what) => Err(AppendError::Storage(what)),
            };
        }
        let tip = match appended {
            Ok(tip) => tip,
            Err(error) => {
                self.stop(&error);
                return Err(error);
            }
        };
        self.session.tip = tip;
        self.keep_on();
        let ended = batch.logged.iter().filter_map(|logged| match logged.event.as_ref() {
            Some(Event::TurnEnded { end, .. }) => Some(end.clone()),
            _ => None,
        });
        let ended: Vec<TurnEnd> = ended.collect();
        for event in batch.logged {
            // Without subscribers there is nobody to tell.
            let _ = self.updates.send(Arc::new(Live::Event(event)));
        }
        for reply in batch.replies {
            let _ = reply.send(Ok(()));
        }
        for command in batch.commands {
            self.work.start(command, &self.session.state, tip.sequence);
        }
        self.make_request(batch.heard_before);
        self.work.tell_ends(ended, &self.session.state);
        Ok(())
    }

    /// Makes the request before which hooks were heard. Everything believed is durable.
    fn make_request(&mut self, heard_before: Option<u64>) {
        if let Some(request) = heard_before {
            self.work.make_request(request, &self.session.state, self.session.tip.sequence);
        }
    }

    /// Appends a batch's events and contents; gives the end of the log.
    async fn append(&mut self, batch: &mut Batch) -> Result<Tip, AppendError> {
        let (after, tip) = (self.session.tip, self.tip_after(batch));
        batch.kv.extend(batch.takes_back.then(|| carried::mark(&tip)));
        let append = SessionAppend {
            session: self.id,
            epoch: self.epoch,
            after,
            events: std::mem::take(&mut batch.sealed),
            blobs: std::mem::take(&mut batch.blobs),
            kv: std::mem::take(&mut batch.kv),
            summary: Some(self.session.summary(self.id, tip)),
            said: std::mem::take(&mut batch.said),
            fork_of: None,
            checkpoint: self.keep.give(),
            consumed: batch.consumed.clone(),
        };
        let appended = self.ports.log.append(vec![append]).await;
        self.keep.given(appended.is_ok());
        appended.map(|()| tip)
    }

    /// Forgets what a batch made this writer believe and decides on its inputs again, with reports that
    /// have no contents.
    async fn again_without_contents(&mut self, batch: &mut Batch, error: &AppendError) -> Result<(), String> {
        let loaded = load_to(self.ports.log.as_ref(), self.id, Sequence(u64::MAX)).await;
        let (session, kept) = loaded.map_err(|error| error.to_string())?;
        (self.session, self.keep.kept) = (session, kept);
        // What the batch would have written beyond the session was not written.
        if let Some(context) = self.session.state.context.clone() {
            let (kv, state, now) = (self.ports.kv.as_ref(), &self.session.state, self.ports.clock.now());
            let read = Carried::read(kv, self.id, state, &state.workspace, &context, now).await;
            self.carried.renew(read.map_err(|error| error.to_string())?.0);
        }
        let (replies, mut consumed) = (std::mem::take(&mut batch.replies), std::mem::take(&mut batch.consumed));
        let mut again = Batch { replies, ..Batch::default() };
        let inputs = batch.logged.iter().filter(|logged| logged.header.origin == Origin::Input);
        for logged in inputs {
            let Some(event) = logged.event.clone() else { continue };
            // It is said again before the next input.
            if matches!(event, Event::AllowanceRevoked { expired: true, .. }) {
                continue;
            }
            let event = storable::without_contents(event, error);
            let taken = Taken { actor: logged.header.actor.clone(), event, blobs: Vec::new(), reply: None };
            self.take(&mut again, taken).map_err(|refusal| refusal.to_string())?;
            if let Some(sequence) = inbox::last_input(&again) {
                inbox::renumber(&mut consumed, logged.header.sequence, sequence);
            }
        }
        *batch = Batch { consumed, heard_before: batch.heard_before, ..again };
        Ok(())
    }
}
