//! A model that answers what a test wrote down, and checks what it is asked.
//!
//! Promise: every request is recorded; a request that a provider would not accept, or that does not
//! extend the one before it in the same session, is named in [`ScriptedModel::problems`].

use crate::gate::Gate;
use async_trait::async_trait;
use harness_core::event::{ModelFailure, ModelFailureKind, ModelStop};
use harness_core::item::{AssistantPart, Item, Usage};
use harness_engine::ports::{DeltaSink, Model, ModelDelta, ModelRequest, ModelResponse};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// What streams before it.
    pub deltas: Vec<ModelDelta>,
    /// The answer.
    pub result: Result<ModelResponse, ModelFailure>,
    /// Holds the answer up after its deltas.
    pub gate: Option<Gate>,
}

impl Reply {
    fn of(parts: Vec<AssistantPart>, stop: ModelStop) -> Self {
        let usage = Usage { input_tokens: 100, output_tokens: 10, ..Usage::default() };
        let result = Ok(ModelResponse { parts, stop, usage, provider_response: None });
        Self { deltas: Vec::new(), result, gate: None }
    }

    /// Words that end the turn, streamed in two pieces.
    pub fn text(text: &str) -> Self {
        let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(index, _)| index);
        let (first, second) = text.split_at(middle);
        let deltas = [first, second].map(|piece| ModelDelta::Text { text: piece.to_owned() }).to_vec();
        Self { deltas, ..Self::of(vec![AssistantPart::Text { text: text.to_owned() }], ModelStop::EndOfTurn) }
    }

    /// Calls of tools with their arguments, streamed one after the other.
    pub fn calls(calls: &[(&str, &str)]) -> Self {
        let part = |(index, (tool, arguments)): (usize, &(&str, &str))| AssistantPart::ToolCall {
            provider_call: format!("provider-{index}"),
            tool: (*tool).to_owned(),
            arguments: (*arguments).to_owned(),
        };
        let delta = |(index, (tool, arguments)): (usize, &(&str, &str))| {
            let text = (*arguments).to_owned();
            [ModelDelta::ToolCall { index, tool: (*tool).to_owned() }, ModelDelta::ToolArguments { index, text }]
        };
        let deltas = calls.iter().enumerate().flat_map(delta).collect();
        Self { deltas, ..Self::of(calls.iter().enumerate().map(part).collect(), ModelStop::ToolCalls) }
    }

    /// No answer.
    pub fn failure(kind: ModelFailureKind) -> Self {
        let failure =
            ModelFailure { kind, message: format!("scripted: {}", kind.word()), status: None, retry_after_ms: None };
        Self { deltas: Vec::new(), result: Err(failure), gate: None }
    }

    /// The same answer, held up at a gate.
    pub fn behind(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }
}

type Script = dyn Fn(&ModelRequest) -> Option<Reply> + Send + Sync;

/// The model.
pub struct ScriptedModel {
    script: Box<Script>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<ModelRequest>,
    problems: Vec<String>,
}

impl ScriptedModel {
    /// Gives these answers one after the other; then it refuses.
    pub fn tape(replies: impl IntoIterator<Item = Reply>) -> Self {
        let tape = Mutex::new(replies.into_iter().collect::<VecDeque<_>>());
        Self::by(move |_| tape.lock().unwrap_or_else(PoisonError::into_inner).pop_front())
    }

    /// Answers by what it is asked, so that a repeated request gets the same answer.
    pub fn by(script: impl Fn(&ModelRequest) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self { script: Box::new(script), seen: Mutex::default() }
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.seen().requests.clone()
    }

    /// What was wrong with requests; empty as it should be.
    pub fn problems(&self) -> Vec<String> {
        self.seen().problems.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn record(&mut self, request: ModelRequest) {
        self.problems.extend(conversation_problem(&request.items));
        if let Some(earlier) = self.requests.iter().rev().find(|earlier| earlier.session == request.session) {
            let same = earlier.items.iter().zip(&request.items).filter(|(old, new)| Arc::ptr_eq(old, new)).count();
            if same < earlier.items.len() {
                let before = earlier.items.len();
                self.problems.push(format!("only {same} of the {before} items of the request before it are the same"));
            }
        }
        self.requests.push(request);
    }
}

#[async_trait]
impl Model for ScriptedModel {
    async fn respond(&self, request: ModelRequest, deltas: &dyn DeltaSink) -> Result<ModelResponse, ModelFailure> {
        let reply = (self.script)(&request);
        let number = request.items.len();
        self.seen().record(request);
        let Some(reply) = reply else {
            return Reply::failure(ModelFailureKind::Refused).result;
        };
        for delta in reply.deltas {
            deltas.delta(delta);
        }
        if let Some(gate) = reply.gate {
            gate.pass().await;
        }
        reply.result.map(|response| with_own_ids(response, number))
    }
}

/// A provider gives no two calls of a conversation the same id.
fn with_own_ids(mut response: ModelResponse, number: usize) -> ModelResponse {
    for part in &mut response.parts {
        if let AssistantPart::ToolCall { provider_call, .. } = part {
            *provider_call = format!("{provider_call}-{number}");
        }
    }
    response
}

/// What a provider would not accept about a conversation that is to be answered, if anything.
pub fn conversation_problem(items: &[Arc<Item>]) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.as_ref() {
            Item::ToolResults { results } => {
                let answered: Vec<&str> = results.iter().map(|result| result.provider_call.as_str()).collect();
                if open.is_empty() || answered != open {
                    return Some(format!("item {index} answers {answered:?}, asked was {open:?}"));
                }
                open.clear();
            }
            Item::User { .. } | Item::Assistant { .. } if !open.is_empty() => {
                return Some(format!("item {index} comes before {open:?} was answered"));
            }
            Item::User { .. } => {}
            Item::Assistant { parts, .. } if parts.is_empty() => return Some(format!("item {index} is empty")),
            Item::Assistant { parts, .. } => open.extend(parts.iter().filter_map(|part| match part {
                AssistantPart::ToolCall { provider_call, .. } => Some(provider_call.as_str()),
                AssistantPart::Text { .. } | AssistantPart::Reasoning { .. } => None,
            })),
        }
    }
    match items.last().map(Arc::as_ref) {
        Some(Item::User { .. } | Item::ToolResults { .. }) => None,
        Some(Item::Assistant { .. }) => Some("the last word is the model's own".to_owned()),
        None => Some("there is nothing to answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::model::{self, Subject, Wanted};
    use harness_core::CallId;
    use harness_core::item::{ModelRef, ToolResult};

    /// A scripted model whose script is what the suite wants next.
    struct Scripted {
        model: Arc<ScriptedModel>,
        next: Arc<Mutex<Option<Reply>>>,
    }

    #[async_trait]
    impl Subject for Scripted {
        fn model(&self) -> Arc<dyn Model> {
            Arc::clone(&self.model) as _
        }

        fn name(&self) -> ModelRef {
            "scripted/model".parse().unwrap()
        }

        async fn arrange(&self, wanted: &Wanted) -> Option<String> {
            let reply = match wanted {
                Wanted::Text(text) => Reply::text(text),
                Wanted::Calls(calls) => {
                    let calls: Vec<_> = calls.iter().map(|(tool, arguments)| (&**tool, &**arguments)).collect();
                    Reply::calls(&calls)
                }
                Wanted::Failure(kind) => Reply::failure(*kind),
                Wanted::CutCall => Reply {
                    deltas: vec![ModelDelta::ToolCall { index: 0, tool: "read_file".to_owned() }],
                    ..Reply::failure(ModelFailureKind::Disconnected)
                },
                Wanted::Silence => Reply::text("never").behind(&Gate::closed()),
            };
            *self.next.lock().unwrap() = Some(reply);
            Some("do as arranged".to_owned())
        }
    }

    #[tokio::test]
    async fn keeps_the_promises_of_the_port() {
        let next = Arc::new(Mutex::new(None));
        let script = Arc::clone(&next);
        let model = Arc::new(ScriptedModel::by(move |_| Some(script.lock().unwrap().clone().unwrap())));
        model::run(&Scripted { model, next }).await;
    }

    fn user() -> Item {
        Item::User { text: "hi".into() }
    }

    fn asks(calls: &[&str]) -> Item {
        let part = |id: &&str| AssistantPart::ToolCall {
            provider_call: (*id).to_owned(),
            tool: "t".into(),
            arguments: "{}".into(),
        };
        Item::Assistant { model: "a/b".parse().unwrap(), parts: calls.iter().map(part).collect() }
    }

    fn answers(calls: &[&str]) -> Item {
        let result = |id: &&str| ToolResult {
            call: CallId::from_bits(1),
            provider_call: (*id).to_owned(),
            tool: "t".into(),
            text: "ok".into(),
            is_error: false,
        };
        Item::ToolResults { results: calls.iter().map(result).collect() }
    }

    #[test]
    fn conversations_that_a_provider_refuses_are_found() {
        let problem = |items: Vec<Item>| conversation_problem(&items.into_iter().map(Arc::new).collect::<Vec<_>>());
        for good in [
            vec![user()],
            vec![user(), user()],
            vec![user(), asks(&["1", "2"]), answers(&["1", "2"])],
            vec![user(), asks(&["1"]), answers(&["1"]), user()],
        ] {
            assert_eq!(problem(good.clone()), None, "{good:?}");
        }
        for bad in [
            vec![],
            vec![user(), asks(&["1"])],
            vec![user(), asks(&["1"]), user()],
            vec![user(), asks(&["1", "2"]), answers(&["1"])],
            vec![user(), asks(&["1", "2"]), answers(&["2", "1"])],
            vec![user(), asks(&["1"]), answers(&["1", "1"])],
            vec![user(), answers(&["1"])],
            vec![user(), asks(&[]), user()],
        ] {
            assert!(problem(bad.clone()).is_some(), "{bad:?}");
        }
    }
}
