//! The conformance suite of the model port, for every wire behind a real server and for the offline model.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use async_trait::async_trait;
use common::{WIRES, config};
use harness_core::event::ModelFailureKind;
use harness_core::item::ModelRef;
use harness_engine::ports::Model;
use harness_model::{Models, ProviderConfig, Wire};
use harness_sim::conformance::model::{self, Subject, Wanted};
use harness_sim::http_server::{After, HttpServer, Reply};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Remote {
    wire: Wire,
    server: HttpServer,
    models: Arc<Models>,
    calls: AtomicUsize,
}

impl Remote {
    fn events(&self, wanted: &Wanted) -> Vec<Value> {
        let id = || format!("id_{}", self.calls.fetch_add(1, Ordering::SeqCst));
        match (self.wire, wanted) {
            (Wire::Anthropic, Wanted::Text(text)) => vec![
                json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}),
                json!({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":text}}),
                json!({"type":"content_block_stop","index":0}),
                json!({"type":"message_delta","delta":{"stop_reason":"end_turn"}}),
                json!({"type":"message_stop"}),
            ],
            (Wire::Anthropic, Wanted::Calls(calls)) => {
                let call = |(at, (tool, arguments)): (usize, &(String, String))| {
                    [
                        json!({"type":"content_block_start","index":at,"content_block":{"type":"tool_use","id":id(),"name":tool,"input":{}}}),
                        json!({"type":"content_block_delta","index":at,"delta":{"type":"input_json_delta","partial_json":arguments}}),
                        json!({"type":"content_block_stop","index":at}),
                    ]
                };
                let end = [
                    json!({"type":"message_delta","delta":{"stop_reason":"tool_use"}}),
                    json!({"type":"message_stop"}),
                ];
                calls.iter().enumerate().flat_map(call).chain(end).collect()
            }
            (Wire::Anthropic, _) => {
                vec![
                    json!({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"x","name":"read_file","input":{}}}),
                ]
            }
            (Wire::OpenAiResponses, Wanted::Text(text)) => vec![
                json!({"type":"response.output_text.delta","output_index":0,"delta":text}),
                json!({"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":[{"type":"output_text","text":text}]}}),
                json!({"type":"response.completed","response":{}}),
            ],
            (Wire::OpenAiResponses, Wanted::Calls(calls)) => {
                let call = |(at, (tool, arguments)): (usize, &(String, String))| {
                    let item = json!({"type":"function_call","call_id":id(),"name":tool,"arguments":arguments});
                    [
                        json!({"type":"response.output_item.added","output_index":at,"item":item}),
                        json!({"type":"response.function_call_arguments.delta","output_index":at,"delta":arguments}),
                        json!({"type":"response.output_item.done","output_index":at,"item":item}),
                    ]
                };
                let end = [json!({"type":"response.completed","response":{}})];
                calls.iter().enumerate().flat_map(call).chain(end).collect()
            }
            (Wire::OpenAiResponses, _) => {
                vec![
                    json!({"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"x","name":"read_file","arguments":""}}),
                ]
            }
            (_, Wanted::Text(text)) => {
                vec![
                    json!({"choices":[{"delta":{"content":text}}]}),
                    json!({"choices":[{"delta":{},"finish_reason":"stop"}]}),
                ]
            }
            (_, Wanted::Calls(calls)) => {
                let call = |(at, (tool, arguments)): (usize, &(String, String))| json!({"choices":[{"delta":{"tool_calls":[{"index":at,"id":id(),"function":{"name":tool,"arguments":arguments}}]}}]});
                let end = [json!({"choices":[{"delta":{},"finish_reason":"tool_calls"}]})];
                calls.iter().enumerate().map(call).chain(end).collect()
            }
            _ => vec![
                json!({"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"read_file","arguments":"{\"pa"}}]}}]}),
            ],
        }
    }
}

#[async_trait]
impl Subject for Remote {
    fn model(&self) -> Arc<dyn Model> {
        self.models.clone()
    }
    fn name(&self) -> ModelRef {
        "test/some-model".parse().unwrap()
    }
    async fn arrange(&self, wanted: &Wanted) -> Option<String> {
        let body: String = self.events(wanted).iter().map(|event| format!("data: {event}\n\n")).collect();
        self.server.push(match wanted {
            Wanted::Text(_) | Wanted::Calls(_) => Reply::stream(body.as_bytes()),
            Wanted::CutCall => Reply::cut_stream(body.as_bytes()),
            Wanted::Silence => Reply::cut_stream(b": wait\n\n").then(After::Hang),
            Wanted::Failure(kind) => match kind {
                ModelFailureKind::Retryable => Reply::status(503, &[], ""),
                ModelFailureKind::Refused => Reply::status(400, &[], ""),
                ModelFailureKind::Authentication => Reply::status(401, &[], ""),
                ModelFailureKind::ContextTooLong => Reply::status(413, &[], ""),
                ModelFailureKind::MalformedStream => Reply::stream(b"data: {\n\n"),
                ModelFailureKind::Disconnected => return None,
            },
        });
        Some("Hello?".to_owned())
    }
}

#[tokio::test]
async fn every_wire_conforms() {
    for &(wire, _) in WIRES {
        let server = HttpServer::start([]).await.unwrap();
        let models = Arc::new(Models::new(vec![config(wire, server.url())]).unwrap());
        model::run(&Remote { wire, server, models, calls: AtomicUsize::new(0) }).await;
    }
}

struct Offline(Arc<Models>);

#[async_trait]
impl Subject for Offline {
    fn model(&self) -> Arc<dyn Model> {
        self.0.clone()
    }
    fn name(&self) -> ModelRef {
        "offline/offline".parse().unwrap()
    }
    async fn arrange(&self, wanted: &Wanted) -> Option<String> {
        match wanted {
            Wanted::Text(text) => Some(format!("ANSWER {text}")),
            // It makes one call at a time.
            Wanted::Calls(calls) if calls.len() == 1 => Some(format!("TOOL {} {}", calls[0].0, calls[0].1)),
            _ => None,
        }
    }
}

#[tokio::test]
async fn the_offline_model_conforms() {
    let config = ProviderConfig {
        name: "offline".into(),
        wire: Wire::Offline,
        base_url: String::new(),
        key: None,
        prices: BTreeMap::new(),
    };
    model::run(&Offline(Arc::new(Models::new(vec![config]).unwrap()))).await;
}
