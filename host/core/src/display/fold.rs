//! The fold of what a screen shows: one event after the other, each changing only the parts that it is about.
//!
//! Promise: total. An event about something that is not shown changes nothing of it; no event panics.

use super::screen::Part;
use super::trust::TrustTold;
use super::*;
use crate::budget::{Budget, Reservation, Spent};
use crate::change::{Change, ChangeKind, Manifest};
use crate::event::{ApplyResult, Changes, Context, ModelFailureKind};
use crate::grant::Scope;
use crate::item::AssistantPart;
use crate::mode::{HookAnswer, HookPoint};
use crate::record::RequestMade;

pub(super) type Touched<'a> = &'a mut dyn FnMut(Part);

/// Puts an entry; where there are too many, the one that `rank` puts first makes room. Gives its key.
pub(super) fn put<K: Ord + Clone, V, R: Ord>(
    all: &mut BTreeMap<K, V>,
    key: K,
    value: V,
    entries_max: usize,
    rank: impl Fn(&V) -> R,
) -> Option<K> {
    let mut gone = None;
    if !all.contains_key(&key) && all.len() >= entries_max {
        gone = all.iter().min_by_key(|(_, value)| rank(value)).map(|(key, _)| key.clone());
    }
    if let Some(gone) = &gone {
        all.remove(gone);
    }
    all.insert(key, value);
    gone
}

/// Puts into a list of the state, touches what changes and counts what is dropped.
macro_rules! put_shown {
    ($self:ident, $touched:ident, $list:ident, $key:expr, $value:expr, $max:expr, $part:expr, $dropped:ident) => {{
        let key = $key;
        $touched($part(key.clone()));
        if let Some(gone) = $crate::display::fold::put(&mut $self.$list, key, $value, $max, |it| it.at) {
            $self.dropped.$dropped = $self.dropped.$dropped.saturating_add(1);
            $touched($part(gone));
            $touched(Part::Dropped);
        }
    }};
}
pub(super) use put_shown;

/// Counts one more.
macro_rules! count {
    ($self:ident, $touched:ident, $counter:ident, $more:expr) => {{
        $self.counters.$counter = $self.counters.$counter.saturating_add($more);
        $touched(Part::Counters);
    }};
}

impl DisplayState {
    /// Believes an event and tells which parts changed.
    pub(super) fn fold(&mut self, at: Sequence, time: TimeMs, event: &Event, touched: Touched<'_>) {
        (self.sequence, self.updated) = (at, time);
        match event {
            Event::SessionCreated { .. }
            | Event::SessionOpened { .. }
            | Event::SessionRenamed { .. }
            | Event::ModeEntered { .. }
            | Event::ModesChanged { .. }
            | Event::ModelChosen { .. }
            | Event::WorkspaceObserved { .. }
            | Event::SessionArchived { .. } => self.fold_about(at, time, event, touched),
            Event::SessionForked { origin, title, files, .. } => self.fork(time, *origin, title, files),
            Event::SessionImported { origin, workspace, .. } => self.import(time, *origin, workspace),
            // What it goes back to is not known here.
            Event::SessionRewound { .. } => self.cut_turn(),
            Event::PromptReceived { text, .. } => self.title_from(text, touched),
            Event::TurnStarted { .. }
            | Event::ModelRequested { .. }
            | Event::ModelResponded { .. }
            | Event::ModelFailed { .. }
            | Event::RetryScheduled { .. }
            | Event::InterruptRequested
            | Event::TurnEnded { .. } => self.fold_turn(at, time, event, touched),
            Event::CallRequested { .. }
            | Event::CallJudged { .. }
            | Event::CallStarted { .. }
            | Event::CallReported { .. }
            | Event::ChangesAuthorized { .. }
            | Event::ArgumentsReplaced { .. }
            | Event::PolicyAsked { .. }
            | Event::CallEnded { .. } => self.fold_call(at, event, touched),
            Event::ApprovalAsked { .. }
            | Event::ApprovalAnswered { .. }
            | Event::ApprovalWithdrawn { .. }
            | Event::QuestionAsked { .. }
            | Event::QuestionAnswered { .. }
            | Event::QuestionWithdrawn { .. }
            | Event::PlanSubmitted { .. }
            | Event::PlanAnswered { .. }
            | Event::PlanWithdrawn { .. } => self.fold_asked(at, event, touched),
            Event::MessageReceived { .. } | Event::MessageDelivered { .. } | Event::MessageExpired { .. } => {
                self.fold_message(at, event, touched)
            }
            Event::GrantGiven { .. }
            | Event::GrantRevoked { .. }
            | Event::ModeProposed { .. }
            | Event::NoteAdded { .. } => self.fold_lists(at, event, touched),
            Event::AllowanceGranted { .. } | Event::AllowanceRevoked { .. } | Event::AllowancesCarried { .. } => {
                self.fold_allowances(at, event, touched)
            }
            Event::TrustCarried { .. }
            | Event::TrustSet { .. }
            | Event::TrustReset { .. }
            | Event::TrustLevelChanged { .. }
            | Event::WorkReviewed { .. } => self.fold_trust(at, event, touched),
            Event::HooksAnswered { point, answers, .. } => {
                if *point == HookPoint::BeforeStep && answers.iter().any(HookAnswer::stops) {
                    // It is not made.
                    self.tally.reserved = Reservation::default();
                }
                self.fold_faults(at, answers, touched);
            }
            Event::UndoRequested { undo, of, manifest } => {
                let paths = manifest.entries().len() as u64;
                self.undoing = Some(UndoingShown { undo: *undo, calls: of.len() as u64, paths });
                touched(Part::Undoing);
            }
            Event::ChangesUndone { of, result, .. } => self.fold_undone(of, result, touched),
            Event::BudgetSet { budget } => {
                self.tally.session_budget = *budget;
                self.show_budgets(touched);
            }
            Event::BudgetCrossed { limit, .. } => {
                self.problems.budget_crossed = Some(name(limit));
                touched(Part::Problems);
            }
            Event::RepetitionNoticed { call, times } => {
                self.problems.repeating_call = Some(*call);
                self.problems.repeated = Some(*times);
                touched(Part::Problems);
            }
            Event::TodosChanged { todos, .. } => {
                let shown = todos.iter().take(TODOS_SHOWN_MAX);
                self.todos = shown.map(|todo| Todo { text: name(&todo.text), status: todo.status }).collect();
                self.dropped.todos = todos.len().saturating_sub(TODOS_SHOWN_MAX) as u64;
                touched(Part::Todos);
                touched(Part::Dropped);
            }
            // What follows from them says what changes.
            Event::RetryDue
            | Event::ChangesPut { .. }
            | Event::MessageWithdrawn { .. }
            | Event::ModeChosen { .. }
            | Event::PolicyAnswered { .. }
            | Event::KvWritten { .. } => {}
        }
        if self.show_status() {
            touched(Part::About);
        }
    }

    /// Tells whether it changed.
    pub(super) fn show_status(&mut self) -> bool {
        let status = self.status();
        std::mem::replace(&mut self.about.status, status) != status
    }

    fn title_from(&mut self, text: &str, touched: Touched<'_>) {
        if self.about.title.is_none() {
            self.about.title = Some(crate::state::title_of(text));
            touched(Part::About);
        }
    }

    fn fold_about(&mut self, at: Sequence, time: TimeMs, event: &Event, touched: Touched<'_>) {
        let about = &mut self.about;
        touched(Part::About);
        match event {
            Event::SessionCreated { workspace, title } => {
                (about.workspace, about.created) = (words(workspace), time);
                about.title = title.as_deref().map(name);
            }
            Event::SessionOpened { host, context, .. } => {
                about.host = name(host);
                if let Some(context) = context {
                    self.fold_context(context);
                }
                // Its pieces are gone with the host that had them; the request is made again.
                let (is_out, reserved) = (!self.responses.is_empty(), self.tally.reserved);
                for gone in std::mem::take(&mut self.responses).into_keys() {
                    self.responses.insert(at, ResponseShown::default());
                    touched(Part::Response(gone));
                    touched(Part::Response(at));
                }
                if is_out {
                    let again = |spent: &mut Spent| {
                        *spent = spent.with_reservation(reserved);
                        spent.steps = spent.steps.saturating_add(1);
                    };
                    self.spend(again, touched);
                }
            }
            Event::SessionRenamed { title } => about.title = Some(name(title)),
            Event::SessionArchived { archived } => about.archived = *archived,
            Event::ModeEntered { mode, model, .. } => {
                about.mode = name(mode);
                let preferred = model.as_ref().map(|model| (name(&model.to_string()), "mode".to_owned()));
                self.tally.mode_model = preferred;
                self.show_model();
                if self.proposals.remove(mode.as_str()).is_some() {
                    touched(Part::Proposal(mode.clone()));
                }
            }
            Event::ModesChanged { modes } => {
                about.modes = modes.iter().take(MODES_MAX).map(|mode| name(&mode.name)).collect();
            }
            Event::ModelChosen { model, .. } => {
                self.tally.chosen_model = Some((name(&model.to_string()), "chosen".to_owned()));
                self.show_model();
            }
            Event::WorkspaceObserved { git } => about.head = git.as_ref().map(|git| name(&git.head)),
            _ => {}
        }
    }

    fn fold_context(&mut self, context: &Context) {
        self.about.modes = context.modes.iter().take(MODES_MAX).map(|mode| name(&mode.name)).collect();
        (self.about.approve, self.about.trust) = (context.approve, context.trust);
        self.tally.context_model = Some((name(&context.model.to_string()), name(&context.model_reason)));
        self.show_model();
    }

    pub(super) fn show_model(&mut self) {
        let Tally { chosen_model, mode_model, context_model, .. } = &self.tally;
        let of = chosen_model.as_ref().or(mode_model.as_ref()).or(context_model.as_ref());
        (self.about.model, self.about.model_reason) = of.cloned().unwrap_or_default();
    }

    fn fold_turn(&mut self, at: Sequence, time: TimeMs, event: &Event, touched: Touched<'_>) {
        touched(Part::Turn);
        match event {
            Event::TurnStarted { turn, number, limits } => {
                self.turn = Some(TurnShown {
                    turn: *turn,
                    number: *number,
                    started: time,
                    step: 0,
                    steps_max: limits.steps_max,
                    phase: PhaseShown::Between,
                    attempt: 0,
                    attempts_max: limits.retry_attempts_max,
                    retry_delay_ms: None,
                    retry_due: None,
                });
                (self.tally.turn_budget, self.tally.turn_spent) = (limits.budget, Spent::default());
                self.spending.turn = Usage::default();
                for call in std::mem::take(&mut self.calls).into_keys() {
                    touched(Part::Call(call));
                }
                let (last_text, failure) = (self.problems.last_text.take(), self.problems.model_failure.take());
                self.problems = Problems { last_text, model_failure: failure, ..Problems::default() };
                touched(Part::Problems);
                count!(self, touched, turns, 1);
                self.show_budgets(touched);
            }
            Event::ModelRequested { step, attempt, reserved, .. } => {
                self.tally.reserved = *reserved;
                if let Some(turn) = &mut self.turn {
                    (turn.step, turn.attempt, turn.phase) = (*step, *attempt, PhaseShown::Requesting);
                    (turn.retry_delay_ms, turn.retry_due) = (None, None);
                }
                self.end_response(touched);
                self.responses.insert(at, ResponseShown::default());
                touched(Part::Response(at));
                self.spend(|spent| spent.steps = spent.steps.saturating_add(1), touched);
            }
            Event::ModelResponded { parts, usage, time_ms, .. } => {
                self.end_response(touched);
                self.fold_response(parts, *usage, *time_ms, touched);
            }
            Event::ModelFailed { failure, .. } => {
                self.end_response(touched);
                self.problems.model_failure = Some(words(&failure.message));
                self.problems.model_failure_kind = Some(failure.kind);
                self.problems.model_failure_status = failure.status;
                touched(Part::Problems);
                count!(self, touched, model_failures, 1);
                let reserved = self.tally.reserved;
                if matches!(failure.kind, ModelFailureKind::Disconnected | ModelFailureKind::MalformedStream) {
                    self.spend(|spent| *spent = spent.with_reservation(reserved), touched);
                }
            }
            Event::RetryScheduled { attempt, delay_ms, .. } => {
                if let Some(turn) = &mut self.turn {
                    (turn.phase, turn.attempt) = (PhaseShown::Waiting, *attempt);
                    turn.retry_delay_ms = Some(*delay_ms);
                    let due = time.0.saturating_add(i64::try_from(*delay_ms).unwrap_or(i64::MAX));
                    turn.retry_due = Some(TimeMs(due));
                }
            }
            Event::InterruptRequested => {
                if let Some(turn) = &mut self.turn {
                    turn.phase = PhaseShown::Stopping;
                }
            }
            Event::TurnEnded { end, .. } => {
                let is_stopped = matches!(end, TurnEnd::Interrupted | TurnEnd::Stopped { .. });
                if is_stopped && !self.responses.is_empty() {
                    let reserved = self.tally.reserved;
                    self.spend(|spent| *spent = spent.with_reservation(reserved), touched);
                }
                self.turn = None;
                self.end_response(touched);
                self.end_allowances(|shown| shown.scope == Scope::Turn, touched);
                self.problems.last_end = Some(end.word().to_owned());
                self.problems.last_end_words = Some(end_words(end)).filter(|it| !it.is_empty()).map(|it| words(&it));
                touched(Part::Problems);
            }
            _ => {}
        }
    }

    fn end_response(&mut self, touched: Touched<'_>) {
        for gone in std::mem::take(&mut self.responses).into_keys() {
            touched(Part::Response(gone));
        }
    }

    fn fold_response(&mut self, parts: &[AssistantPart], usage: Usage, time_ms: u64, touched: Touched<'_>) {
        if let Some(turn) = &mut self.turn {
            turn.phase = PhaseShown::Calling;
        }
        let texts = parts.iter().filter_map(|part| match part {
            AssistantPart::Text { text } => Some(text.as_str()),
            AssistantPart::Reasoning { .. } | AssistantPart::ToolCall { .. } => None,
        });
        let text: Vec<&str> = texts.collect();
        if !text.is_empty() {
            self.problems.last_text = Some(cut(&text.join("\n"), TEXT_SHOWN_BYTES_MAX));
        }
        self.problems.model_failure = None;
        (self.problems.model_failure_kind, self.problems.model_failure_status) = (None, None);
        touched(Part::Problems);
        count!(self, touched, responses, 1);
        let spending = &mut self.spending;
        (spending.session, spending.turn) = (spending.session.plus(usage), spending.turn.plus(usage));
        if usage != Usage::default() {
            spending.request_tokens = usage.input_tokens;
            spending.last_cache_hit_permille = cache_hit_permille(&usage);
            spending.cache_hit_permille = cache_hit_permille(&spending.session);
        }
        let (is_known, reserved) = (usage != Usage::default(), self.tally.reserved);
        let add = |spent: &mut Spent| {
            *spent = if is_known { spent.with_usage(usage, reserved) } else { spent.with_reservation(reserved) };
            spent.work_ms = spent.work_ms.saturating_add(time_ms);
        };
        self.spend(add, touched);
    }

    fn spend(&mut self, add: impl Fn(&mut Spent), touched: Touched<'_>) {
        add(&mut self.tally.session_spent);
        if self.turn.is_some() {
            add(&mut self.tally.turn_spent);
        }
        self.show_budgets(touched);
    }

    pub(super) fn show_budgets(&mut self, touched: Touched<'_>) {
        touched(Part::Spending);
        let tally = &self.tally;
        let of = |whose: &str, budget: &Budget, spent: &Spent| {
            let limits = [
                ("tokens", budget.tokens, spent.tokens),
                ("cost_micro_usd", budget.cost_micro_usd, spent.cost_micro_usd),
                ("work_ms", budget.work_ms, spent.work_ms),
                ("fuel", budget.fuel, spent.fuel),
                ("calls", budget.calls, spent.calls),
                ("steps", budget.steps, spent.steps),
            ];
            let shown = limits.into_iter().filter_map(|(name, maximum, spent)| {
                let (maximum, name) = (maximum?, format!("{whose}.{name}"));
                Some(BudgetShown { name, maximum, spent, left: maximum.saturating_sub(spent) })
            });
            shown.collect::<Vec<_>>()
        };
        let mut budgets = of("session", &tally.session_budget, &tally.session_spent);
        budgets.extend(of("turn", &tally.turn_budget, &tally.turn_spent));
        self.spending.budgets = budgets;
    }

    fn fold_call(&mut self, at: Sequence, event: &Event, touched: Touched<'_>) {
        match event {
            Event::CallRequested { call, tool, arguments, parent, .. } => {
                if let Some(parent) = parent.as_ref() {
                    self.with_call(*parent, |shown| shown.status = CallStatus::Awaiting, touched);
                }
                let shown = CallShown::new(at, tool, arguments, *parent);
                touched(Part::Call(*call));
                // What has ended makes room first.
                let rank = |shown: &CallShown| (shown.status != CallStatus::Ended, shown.at);
                if let Some(gone) = put(&mut self.calls, *call, shown, CALLS_SHOWN_MAX, rank) {
                    self.dropped.calls = self.dropped.calls.saturating_add(1);
                    touched(Part::Call(gone));
                    touched(Part::Dropped);
                }
                count!(self, touched, calls, 1);
            }
            Event::CallJudged { call, verdict, .. } => {
                self.with_call(*call, |shown| shown.rule = Some(name(&verdict.rule)), touched);
                self.fold_trusted(at, *call, verdict, touched);
            }
            Event::PolicyAsked { call, .. } => {
                self.with_call(*call, |shown| shown.status = CallStatus::Judging, touched);
            }
            Event::ArgumentsReplaced { call, arguments, by } => self.with_call(
                *call,
                |shown| (shown.arguments, shown.replaced_by) = (words(arguments), Some(name(by))),
                touched,
            ),
            Event::CallStarted { call, .. } => {
                self.with_call(*call, |shown| shown.status = CallStatus::Running, touched);
                self.spend(|spent| spent.calls = spent.calls.saturating_add(1), touched);
            }
            Event::CallReported { call, changes, usage, record, .. } => {
                let changes = match changes {
                    Changes::None => 0,
                    Changes::Staged { manifest } | Changes::Observed { manifest } => manifest.entries().len() as u64,
                };
                let report = |shown: &mut CallShown| {
                    (shown.status, shown.changes) = (CallStatus::Reported, changes);
                    (shown.progress, shown.done_permille) = (None, None);
                    (shown.time_us, shown.fuel) = (Some(usage.time_us), Some(usage.fuel));
                };
                self.with_call(*call, report, touched);
                self.fold_requests(at, *call, &record.requests, touched);
                let add = |spent: &mut Spent| {
                    spent.fuel = spent.fuel.saturating_add(usage.fuel);
                    spent.work_ms = spent.work_ms.saturating_add(usage.time_us.div_ceil(1_000));
                };
                self.spend(add, touched);
            }
            Event::ChangesAuthorized { call, .. } => {
                self.with_call(*call, |shown| shown.status = CallStatus::Putting, touched);
            }
            Event::CallEnded { call, outcome, text, is_error, changes } => {
                let end = |shown: &mut CallShown| {
                    (shown.status, shown.is_error) = (CallStatus::Ended, *is_error);
                    (shown.progress, shown.done_permille) = (None, None);
                    (shown.outcome, shown.words) = (Some(name(outcome)), text.as_deref().map(words));
                    shown.changes = changes.entries().len() as u64;
                };
                self.with_call(*call, end, touched);
                match outcome.as_str() {
                    "denied" => count!(self, touched, denied, 1),
                    _ if *is_error => count!(self, touched, failed, 1),
                    _ => {}
                }
                self.fold_files(at, *call, changes, touched);
            }
            _ => {}
        }
    }

    fn with_call(&mut self, call: CallId, change: impl FnOnce(&mut CallShown), touched: Touched<'_>) {
        if let Some(shown) = self.calls.get_mut(&call) {
            change(shown);
            touched(Part::Call(call));
        }
    }

    fn fold_requests(&mut self, at: Sequence, call: CallId, made: &[RequestMade], touched: Touched<'_>) {
        if made.is_empty() {
            return;
        }
        count!(self, touched, requests, made.len() as u64);
        let skipped = made.len().saturating_sub(REQUESTS_SHOWN_MAX);
        if skipped > 0 {
            self.dropped.requests = self.dropped.requests.saturating_add(skipped as u64);
            touched(Part::Dropped);
        }
        for (number, request) in made.iter().enumerate().skip(skipped) {
            let problem = request.problem.as_deref().map(words);
            let (method, url) = (name(&request.method), words(&request.url));
            let shown = RequestShown { at, call, method, url, status: request.status, problem };
            put_shown!(
                self,
                touched,
                requests,
                format!("{at}.{number}"),
                shown,
                REQUESTS_SHOWN_MAX,
                Part::Request,
                requests
            );
        }
    }

    fn fold_files(&mut self, at: Sequence, call: CallId, changes: &Manifest, touched: Touched<'_>) {
        let entries = changes.entries();
        let skipped = entries.len().saturating_sub(FILES_SHOWN_MAX);
        if skipped > 0 {
            self.dropped.files = self.dropped.files.saturating_add(skipped as u64);
            touched(Part::Dropped);
        }
        for change in entries.iter().skip(skipped) {
            // A key is not cut: two paths must not become one.
            if change.path.len() > WORDS_SHOWN_BYTES_MAX {
                self.dropped.files = self.dropped.files.saturating_add(1);
                touched(Part::Dropped);
                continue;
            }
            let known = self.files.get(&change.path);
            let mut calls = known.map_or_else(Vec::new, |file| file.calls.clone());
            let surplus = (calls.len() + 1).saturating_sub(FILE_CALLS_SHOWN_MAX);
            calls.drain(..surplus);
            calls.push(call);
            let mut undone = known.map_or_else(Vec::new, |file| file.undone.clone());
            undone.retain(|it| calls.contains(it));
            let shown = FileShown { at, status: file_status(known, change), calls, undone };
            put_shown!(self, touched, files, change.path.clone(), shown, FILES_SHOWN_MAX, Part::File, files);
        }
    }

    fn fold_undone(&mut self, of: &[CallId], result: &ApplyResult, touched: Touched<'_>) {
        self.undoing = None;
        touched(Part::Undoing);
        if *result != ApplyResult::Applied {
            return;
        }
        count!(self, touched, undone, 1);
        self.tally.undone.extend(of);
        let surplus = self.tally.undone.len().saturating_sub(UNDONE_REMEMBERED_MAX);
        self.tally.undone.drain(..surplus);
        if self.about.trust {
            of.iter().for_each(|call| self.end_review(*call, touched));
        }
        for (path, file) in &mut self.files {
            let new: Vec<CallId> =
                file.calls.iter().filter(|call| of.contains(call) && !file.undone.contains(call)).copied().collect();
            if !new.is_empty() {
                file.undone.extend(new);
                touched(Part::File(path.clone()));
            }
        }
    }

    fn fold_asked(&mut self, at: Sequence, event: &Event, touched: Touched<'_>) {
        match event {
            Event::ApprovalAsked { approval, call, binds_to, rule, words: said } => {
                self.with_call(*call, |shown| shown.status = CallStatus::Asked, touched);
                let (rule, said) = (name(rule), words(said));
                let shown = ApprovalShown { at, call: *call, binds_to: *binds_to, rule, words: said };
                put_shown!(self, touched, approvals, *approval, shown, ASKED_SHOWN_MAX, Part::Approval, asked);
                count!(self, touched, approvals, 1);
            }
            Event::ApprovalAnswered { approval, .. } | Event::ApprovalWithdrawn { approval }
                if self.approvals.remove(approval).is_some() =>
            {
                touched(Part::Approval(*approval));
            }
            Event::QuestionAsked { question, call, component, words, choices, several } => {
                self.with_call(*call, |shown| shown.status = CallStatus::Asked, touched);
                let choices = choices.iter().take(crate::limits::QUESTION_CHOICES_MAX).map(|it| name(it)).collect();
                let (component, words) = (name(component), cut(words, TEXT_SHOWN_BYTES_MAX));
                let shown = QuestionShown { at, call: *call, component, words, choices, several: *several };
                put_shown!(self, touched, questions, *question, shown, ASKED_SHOWN_MAX, Part::Question, asked);
            }
            Event::QuestionAnswered { question, .. } | Event::QuestionWithdrawn { question }
                if self.questions.remove(question).is_some() =>
            {
                touched(Part::Question(*question));
            }
            Event::PlanSubmitted { plan, call, title, text } => {
                self.with_call(*call, |shown| shown.status = CallStatus::Asked, touched);
                let (title, text) = (name(title), cut(text, TEXT_SHOWN_BYTES_MAX));
                let shown = PlanShown { at, call: *call, title, text };
                put_shown!(self, touched, plans, *plan, shown, ASKED_SHOWN_MAX, Part::Plan, asked);
            }
            Event::PlanAnswered { plan, .. } | Event::PlanWithdrawn { plan } if self.plans.remove(plan).is_some() => {
                touched(Part::Plan(*plan));
            }
            _ => {}
        }
    }

    fn fold_message(&mut self, at: Sequence, event: &Event, touched: Touched<'_>) {
        match event {
            Event::MessageReceived { message, text, delivery, .. } => {
                let shown = MessageShown { at, text: cut(text, TEXT_SHOWN_BYTES_MAX), delivery: *delivery };
                put_shown!(self, touched, messages, *message, shown, MESSAGES_WAITING_MAX, Part::Message, messages);
            }
            Event::MessageDelivered { message } => {
                if let Some(shown) = self.messages.remove(message) {
                    touched(Part::Message(*message));
                    self.title_from(&shown.text, touched);
                }
                count!(self, touched, messages, 1);
            }
            Event::MessageExpired { message, .. } if self.messages.remove(message).is_some() => {
                touched(Part::Message(*message));
            }
            _ => {}
        }
    }

    fn fold_lists(&mut self, at: Sequence, event: &Event, touched: Touched<'_>) {
        match event {
            Event::GrantGiven { grant } => {
                let shown = GrantShown {
                    at,
                    component: name(&grant.component),
                    capability: words(&grant.capability.to_string()),
                    scope: grant.scope.word().to_owned(),
                    until: grant.until,
                    source: name(&grant.source),
                };
                put_shown!(self, touched, grants, grant.id(), shown, GRANTS_SHOWN_MAX, Part::Grant, grants);
            }
            Event::GrantRevoked { grant } if self.grants.remove(grant).is_some() => {
                touched(Part::Grant(*grant));
            }
            Event::ModeProposed { mode, by } => {
                let shown = ProposalShown { at, by: name(by) };
                put_shown!(self, touched, proposals, name(mode), shown, NOTES_SHOWN_MAX, Part::Proposal, notes);
            }
            Event::NoteAdded { by, text, reserved } => {
                self.tally.reserved = reserved.unwrap_or(self.tally.reserved);
                let shown = NoteShown { at, by: name(by), text: words(text) };
                put_shown!(self, touched, notes, at, shown, NOTES_SHOWN_MAX, Part::Note, notes);
            }
            _ => {}
        }
    }

    fn fold_faults(&mut self, at: Sequence, answers: &[HookAnswer], touched: Touched<'_>) {
        let Some((by, fault)) = answers.iter().find_map(|it| Some((&it.component, it.fault.as_ref()?))) else { return };
        let more = answers.iter().filter(|it| it.fault.is_some()).count().saturating_sub(1);
        let text = if more == 0 { words(fault) } else { words(&format!("{fault} (and {more} more)")) };
        let shown = NoteShown { at, by: name(by), text };
        put_shown!(self, touched, faults, at, shown, NOTES_SHOWN_MAX, Part::Fault, notes);
    }
}

impl CallShown {
    fn new(at: Sequence, tool: &str, arguments: &str, parent: Option<CallId>) -> Self {
        Self {
            at,
            tool: name(tool),
            arguments: words(arguments),
            replaced_by: None,
            parent,
            status: CallStatus::Requested,
            rule: None,
            progress: None,
            done_permille: None,
            outcome: None,
            words: None,
            is_error: false,
            changes: 0,
            time_us: None,
            fuel: None,
        }
    }
}

/// What happened to a path, with what is known of it.
fn file_status(known: Option<&FileShown>, change: &Change) -> FileStatus {
    match (known.map(|file| file.status), change.kind()) {
        (None | Some(FileStatus::Gone), ChangeKind::Created) | (Some(FileStatus::Created), ChangeKind::Modified) => {
            FileStatus::Created
        }
        (Some(FileStatus::Created | FileStatus::Gone), ChangeKind::Deleted) => FileStatus::Gone,
        (_, ChangeKind::Deleted) => FileStatus::Deleted,
        (_, ChangeKind::Created | ChangeKind::Modified) => FileStatus::Changed,
    }
}

/// What the fold has to remember to show the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct Tally {
    pub(super) session_budget: Budget,
    session_spent: Spent,
    turn_budget: Budget,
    turn_spent: Spent,
    reserved: Reservation,
    /// Models by who wants them, with the reason.
    pub(super) chosen_model: Option<(String, String)>,
    pub(super) mode_model: Option<(String, String)>,
    pub(super) context_model: Option<(String, String)>,
    /// The last calls whose changes were taken back.
    pub(super) undone: Vec<CallId>,
    /// What was told of trust, also of what is supervised.
    pub(super) trust: BTreeMap<Digest, TrustTold>,
}
