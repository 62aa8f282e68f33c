//! What the tests of the wires share: a set of models that points at a local server, and a way to ask.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use harness_core::SessionId;
use harness_core::event::{Context, ModelFailure};
use harness_core::item::{Category, Effects, Item, ModelRef, ToolSpec};
use harness_core::verdict::ApproveMode;
use harness_engine::ports::{Model, ModelDelta, ModelRequest, ModelResponse};
use harness_model::{ApiKey, ModelLimits, Models, ProviderConfig, Wire};
use harness_sim::http_server::HttpServer;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The key that is sent, and must not be seen.
pub const KEY: &str = "sk-test-0123456789abcdef";
/// Every wire with the folder of its cases.
pub const WIRES: &[(Wire, &str)] =
    &[(Wire::Anthropic, "anthropic"), (Wire::OpenAiChat, "openai_chat"), (Wire::OpenAiResponses, "openai_responses")];

pub fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

pub fn config(wire: Wire, base_url: String) -> ProviderConfig {
    ProviderConfig {
        name: "test".to_owned(),
        wire,
        base_url,
        key: Some(Arc::new(|| Ok(Some(ApiKey::new(KEY))))),
        prices: BTreeMap::new(),
    }
}

/// Models of one provider named `test`; silence is noticed soon.
pub fn models(wire: Wire, server: &HttpServer) -> Models {
    let limits = ModelLimits { idle_ms: 5_000, ending_ms: 500, ..ModelLimits::default() };
    Models::with_limits(vec![config(wire, server.url())], limits).unwrap()
}

pub fn tool(name: &str) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: format!("The tool `{name}`."),
        parameters: serde_json::json!({
            "type": "object", "properties": { "path": { "type": "string" } }, "required": ["path"], "additionalProperties": false
        }),
        category: Category::Read,
        effects: Effects::Staged,
        implementation: "test".to_owned(),
        component: String::new(),
    }
}

pub fn context(model: &str) -> Arc<Context> {
    Arc::new(Context {
        model: ModelRef { provider: "test".to_owned(), name: model.to_owned() },
        model_reason: "test".to_owned(),
        system: "You are careful.".to_owned(),
        tools: vec![tool("read_file"), tool("list_dir")],
        approve: ApproveMode::Ask,
        rules: Vec::new(),
        modes: Vec::new(),
        price: None,
        agent: harness_core::event::DEFAULT_AGENT.to_owned(),
        trust: false,
    })
}

pub fn user(text: &str) -> Arc<Item> {
    Arc::new(Item::User { text: text.to_owned() })
}

pub fn request(items: Vec<Arc<Item>>) -> ModelRequest {
    ModelRequest {
        session: SessionId::from_bits(7),
        context: context("some-model"),
        items,
        output_tokens_max: Some(1_000),
    }
}

pub async fn ask(models: &Models, request: ModelRequest) -> (Result<ModelResponse, ModelFailure>, Vec<ModelDelta>) {
    let deltas = Mutex::new(Vec::new());
    let sink = |delta: ModelDelta| deltas.lock().unwrap().push(delta);
    let result = models.respond(request, &sink).await;
    let deltas = std::mem::take(&mut *deltas.lock().unwrap());
    (result, deltas)
}

pub async fn ask_once(models: &Models) -> Result<ModelResponse, ModelFailure> {
    ask(models, request(vec![user("Hello?")])).await.0
}
