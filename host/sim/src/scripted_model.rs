//! A model that answers what a test wrote down, and checks what it is asked.
//!
//! Promise: every request is recorded; a request that a provider would not accept, or that does not
//! extend the one before it in the same session, is named in [`ScriptedModel::problems`].

use crate::gate::Gate;
use crate::provider::valid_for_provider;
use async_trait::async_trait;
use harness_core::event::{ModelFailure, ModelFailureKind, ModelStop};
use harness_core::item::{AssistantPart, Usage};
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
        self.problems.extend(valid_for_provider(request.items.iter().map(AsRef::as_ref)).err());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::model::{self, Subject, Wanted};
    use harness_core::item::ModelRef;

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
}
