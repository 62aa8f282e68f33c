//! What every model has to do, real or not.
//!
//! Promise of a model that passes: a response is whole and matches what was streamed; calls have ids of
//! their own and complete arguments; a connection that breaks gives no part of a response; a request that
//! is dropped leaves the model usable; conversations as a log may leave them are accepted.

use async_trait::async_trait;
use harness_core::event::{Context, ModelFailure, ModelFailureKind, ModelStop};
use harness_core::item::{AssistantPart, Category, Effects, Item, ModelRef, ToolResult, ToolSpec};
use harness_core::verdict::ApproveMode;
use harness_core::{CallId, SessionId};
use harness_engine::ports::{Model, ModelDelta, ModelRequest, ModelResponse};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// An answer that a subject is asked to arrange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Exactly this text.
    Text(String),
    /// Calls of these tools with these arguments (JSON), in this order.
    Calls(Vec<(String, String)>),
    /// A failure of this kind.
    Failure(ModelFailureKind),
    /// The beginning of a tool call, then the connection breaks.
    CutCall,
    /// Nothing, for as long as anybody waits.
    Silence,
}

/// A model under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The model.
    fn model(&self) -> Arc<dyn Model>;
    /// The name by which it is asked.
    fn name(&self) -> ModelRef;
    /// Arranges that the next request gets this answer, and gives the prompt to ask with. None if this
    /// model cannot give such an answer.
    async fn arrange(&self, wanted: &Wanted) -> Option<String>;
}

/// Runs every check; panics with what was wrong.
pub async fn run(subject: &dyn Subject) {
    text_is_whole_and_streamed(subject).await;
    calls_are_complete(subject).await;
    a_conversation_goes_on(subject).await;
    broken_conversations_are_accepted(subject).await;
    failures_have_their_kind(subject).await;
    a_cut_stream_gives_nothing(subject).await;
    a_dropped_request_leaves_the_model_usable(subject).await;
    an_unknown_provider_is_a_failure(subject).await;
}

fn context(name: ModelRef) -> Arc<Context> {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: format!("The tool {name}."),
        parameters: serde_json::json!({ "type": "object", "properties": { "path": { "type": "string" } } }),
        category: Category::Read,
        effects: Effects::Staged,
        implementation: "conformance".to_owned(),
        component: String::new(),
    };
    Arc::new(Context {
        model: name,
        model_reason: "conformance".to_owned(),
        system: "Be brief.".to_owned(),
        tools: vec![tool("read_file"), tool("list_dir")],
        approve: ApproveMode::Ask,
        rules: Vec::new(),
        modes: Vec::new(),
        price: None,
        agent: harness_core::event::DEFAULT_AGENT.to_owned(),
        trust: false,
    })
}

fn user(text: impl Into<String>) -> Arc<Item> {
    Arc::new(Item::User { text: text.into() })
}

async fn ask(
    subject: &dyn Subject,
    session: u128,
    items: Vec<Arc<Item>>,
) -> (Result<ModelResponse, ModelFailure>, Vec<ModelDelta>) {
    let deltas = Mutex::new(Vec::new());
    let sink = |delta: ModelDelta| deltas.lock().unwrap_or_else(PoisonError::into_inner).push(delta);
    let request = ModelRequest {
        session: SessionId::from_bits(session),
        context: context(subject.name()),
        items,
        output_tokens_max: Some(1_000),
    };
    let result = subject.model().respond(request, &sink).await;
    let deltas = std::mem::take(&mut *deltas.lock().unwrap_or_else(PoisonError::into_inner));
    if let Ok(response) = &result {
        check_response(response, &deltas);
    }
    (result, deltas)
}

async fn answered(subject: &dyn Subject, session: u128, items: Vec<Arc<Item>>) -> ModelResponse {
    match ask(subject, session, items).await.0 {
        Ok(response) => response,
        Err(failure) => panic!("the model failed: {failure:?}"),
    }
}

/// Holds for every response.
fn check_response(response: &ModelResponse, deltas: &[ModelDelta]) {
    assert!(!response.parts.is_empty(), "a response without parts");
    let (mut text, mut calls, mut ids) = (String::new(), Vec::new(), BTreeSet::new());
    for part in &response.parts {
        match part {
            AssistantPart::Text { text: piece } => text.push_str(piece),
            AssistantPart::ToolCall { provider_call, tool, arguments } => {
                assert!(!provider_call.is_empty() && ids.insert(provider_call), "ids of calls: {:?}", response.parts);
                calls.push((tool.clone(), arguments.clone()));
            }
            AssistantPart::Reasoning { .. } => {}
        }
    }
    let (mut streamed_text, mut streamed_calls) = (String::new(), Vec::<(String, String)>::new());
    for delta in deltas {
        match delta {
            ModelDelta::Text { text } => streamed_text.push_str(text),
            ModelDelta::ToolCall { index, tool } => {
                assert_eq!(*index, streamed_calls.len(), "calls are numbered from 0");
                streamed_calls.push((tool.clone(), String::new()));
            }
            ModelDelta::ToolArguments { index, text } => streamed_calls[*index].1.push_str(text),
            ModelDelta::Reasoning { .. } => {}
        }
    }
    // Arguments that never came are an empty object.
    for (_, arguments) in streamed_calls.iter_mut().filter(|(_, arguments)| arguments.is_empty()) {
        arguments.push_str("{}");
    }
    assert_eq!(streamed_text, text, "what was streamed is not what was answered");
    assert_eq!(streamed_calls, calls, "the calls that were streamed are not those of the response");
    match response.stop {
        ModelStop::ToolCalls => assert!(!calls.is_empty()),
        ModelStop::EndOfTurn => assert!(calls.is_empty()),
        ModelStop::OutputLimit => {}
    }
    let usage = &response.usage;
    assert!(usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens, "{usage:?}");
    assert!(usage.reasoning_tokens <= usage.output_tokens, "{usage:?}");
}

fn path(path: &str) -> String {
    serde_json::json!({ "path": path }).to_string()
}

async fn text_is_whole_and_streamed(subject: &dyn Subject) {
    for text in ["Hello.", "ä€😀 \"quoted\" \\ back"] {
        let Some(prompt) = subject.arrange(&Wanted::Text(text.to_owned())).await else { continue };
        let response = answered(subject, 1, vec![user(prompt)]).await;
        assert_eq!(response.parts, [AssistantPart::Text { text: text.to_owned() }]);
        assert_eq!(response.stop, ModelStop::EndOfTurn);
    }
}

async fn calls_are_complete(subject: &dyn Subject) {
    for count in [1, 10] {
        let calls: Vec<_> = (0..count).map(|number| ("read_file".to_owned(), path(&format!("ä{number}")))).collect();
        let Some(prompt) = subject.arrange(&Wanted::Calls(calls.clone())).await else { continue };
        let response = answered(subject, 2, vec![user(prompt)]).await;
        assert_eq!(made(&response), calls);
        assert_eq!(response.stop, ModelStop::ToolCalls);
    }
}

fn made(response: &ModelResponse) -> Vec<(String, String)> {
    let call = |part: &AssistantPart| match part {
        AssistantPart::ToolCall { tool, arguments, .. } => Some((tool.clone(), arguments.clone())),
        _ => None,
    };
    response.parts.iter().filter_map(call).collect()
}

async fn a_conversation_goes_on(subject: &dyn Subject) {
    let call = vec![("list_dir".to_owned(), path("."))];
    let Some(prompt) = subject.arrange(&Wanted::Calls(call)).await else { return };
    let mut items = vec![user(prompt)];
    let mut seen = BTreeSet::new();
    for step in 0..3 {
        let response = answered(subject, 3, items.clone()).await;
        let mut results = Vec::new();
        for part in &response.parts {
            if let AssistantPart::ToolCall { provider_call, tool, .. } = part {
                assert!(seen.insert(provider_call.clone()), "the id {provider_call} was given before");
                let (call, text) = (CallId::from_bits(step), "src/\n".to_owned());
                results.push(ToolResult {
                    call,
                    provider_call: provider_call.clone(),
                    tool: tool.clone(),
                    text,
                    is_error: false,
                });
            }
        }
        items.push(Arc::new(Item::Assistant { model: subject.name(), parts: response.parts }));
        if results.is_empty() {
            return;
        }
        items.push(Arc::new(Item::ToolResults { results }));
        let wanted = if step == 0 {
            Wanted::Calls(vec![("list_dir".to_owned(), path("src"))])
        } else {
            Wanted::Text("Done.".to_owned())
        };
        if let Some(prompt) = subject.arrange(&wanted).await
            && step == 0
        {
            items.push(user(prompt));
        }
    }
}

/// Conversations that another provider began, or that a crash cut.
async fn broken_conversations_are_accepted(subject: &dyn Subject) {
    let call = AssistantPart::ToolCall {
        provider_call: "functions.x:0".into(),
        tool: "bad name".into(),
        arguments: "{\"half".into(),
    };
    let thought = AssistantPart::Reasoning { text: "hm".into(), opaque: Some(serde_json::json!({ "foreign": true })) };
    let foreign = ModelRef { provider: "elsewhere".into(), name: "m".into() };
    for parts in
        [vec![call.clone()], vec![thought.clone()], vec![thought, AssistantPart::Text { text: " ".into() }, call]]
    {
        let Some(prompt) = subject.arrange(&Wanted::Text("Fine.".to_owned())).await else { return };
        let item = Arc::new(Item::Assistant { model: foreign.clone(), parts });
        let response = answered(subject, 4, vec![user("before"), item, user(prompt)]).await;
        assert_eq!(response.parts, [AssistantPart::Text { text: "Fine.".to_owned() }]);
    }
}

async fn failures_have_their_kind(subject: &dyn Subject) {
    use ModelFailureKind::*;
    for kind in [Retryable, MalformedStream, Refused, Authentication, ContextTooLong] {
        let Some(prompt) = subject.arrange(&Wanted::Failure(kind)).await else { continue };
        match ask(subject, 5, vec![user(prompt)]).await.0 {
            Ok(response) => panic!("no failure of kind {kind:?} but {response:?}"),
            Err(failure) => {
                assert_eq!(failure.kind, kind, "{failure:?}");
                assert!(!failure.message.is_empty() && !failure.message.contains(char::is_control), "{failure:?}");
            }
        }
    }
}

async fn a_cut_stream_gives_nothing(subject: &dyn Subject) {
    let Some(prompt) = subject.arrange(&Wanted::CutCall).await else { return };
    match ask(subject, 6, vec![user(prompt)]).await.0 {
        Ok(response) => panic!("half a response was taken for a whole one: {response:?}"),
        Err(failure) => assert_eq!(failure.kind, ModelFailureKind::Disconnected, "{failure:?}"),
    }
}

async fn a_dropped_request_leaves_the_model_usable(subject: &dyn Subject) {
    if let Some(prompt) = subject.arrange(&Wanted::Silence).await {
        let asked = ask(subject, 7, vec![user(prompt)]);
        let stopped = tokio::time::timeout(std::time::Duration::from_millis(50), asked).await;
        assert!(stopped.is_err(), "an answer out of silence");
    }
    text_is_whole_and_streamed(subject).await;
}

async fn an_unknown_provider_is_a_failure(subject: &dyn Subject) {
    let known = subject.name();
    let name = ModelRef { provider: "nobody-has-this-name".to_owned(), name: "m".to_owned() };
    let (session, items) = (SessionId::from_bits(8), vec![user("hello")]);
    let request = ModelRequest { session, context: context(name), items, output_tokens_max: None };
    // Only a set of models can tell providers apart; a single one may answer.
    if let Err(failure) = subject.model().respond(request, &|_: ModelDelta| {}).await {
        assert!(!failure.kind.is_retryable(), "{failure:?}");
        assert!(failure.message.contains(&known.provider), "it does not say what there is: {failure:?}");
    }
}
