//! What is sent: the whole request of a conversation that has everything, for each wire, compared with
//! requests/WIRE.json. With `UPDATE_SNAPSHOTS=1` the files are written anew, to be read before they are kept.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{KEY, WIRES, ask, folder, models, request, user};
use harness_core::CallId;
use harness_core::item::{AssistantPart, Item, ModelRef, ToolResult};
use harness_engine::ports::ModelRequest;
use harness_model::{Models, Wire};
use harness_sim::http_server::{HttpServer, Reply, SeenRequest};
use serde_json::{Value, json};
use std::sync::Arc;

/// A stream with a short answer.
fn answer(wire: Wire) -> Reply {
    let name = WIRES.iter().find(|(known, _)| *known == wire).unwrap().1;
    Reply::stream(&std::fs::read(folder("streams").join(name).join("text/response.sse")).unwrap())
}

fn assistant(provider: &str, parts: Vec<AssistantPart>) -> Arc<Item> {
    Arc::new(Item::Assistant { model: ModelRef { provider: provider.into(), name: "some-model".into() }, parts })
}

fn said(text: &str) -> AssistantPart {
    AssistantPart::Text { text: text.into() }
}

fn call(id: &str, arguments: &str) -> AssistantPart {
    AssistantPart::ToolCall { provider_call: id.into(), tool: "read_file".into(), arguments: arguments.into() }
}

fn results(list: &[(&str, &str, bool)]) -> Arc<Item> {
    let result = |&(id, text, is_error): &(&str, &str, bool)| ToolResult {
        call: CallId::from_bits(1),
        provider_call: id.into(),
        tool: "read_file".into(),
        text: text.into(),
        is_error,
    };
    Arc::new(Item::ToolResults { results: list.iter().map(result).collect() })
}

/// What this wire's provider gave to be sent back.
fn opaque(wire: Wire) -> Value {
    match wire {
        Wire::Anthropic => json!({ "type": "thinking", "signature": "c2ln" }),
        Wire::OpenAiResponses => {
            json!({ "type": "reasoning", "summary": [{"type": "summary_text", "text": "I think."}], "encrypted_content": "gAAA" })
        }
        _ => json!({ "field": "reasoning_content" }),
    }
}

fn conversation(wire: Wire) -> Vec<Arc<Item>> {
    let thought = AssistantPart::Reasoning { text: "I think.".into(), opaque: Some(opaque(wire)) };
    let foreign = AssistantPart::Reasoning {
        text: "Others think.".into(),
        opaque: Some(json!({ "encrypted_content": "foreign" })),
    };
    vec![
        user("Read \"a\" and b.\n"),
        assistant(
            "test",
            vec![thought, said("I read."), call("call_a", "{\"path\": \"a\"}"), call("call_b", "{\"path\":\"b\"}")],
        ),
        results(&[("call_a", "ä\u{1}\n", false), ("call_b", "Failed: no b", true)]),
        assistant("other", vec![foreign, call("functions.read_file:0", "{\"path\":")]),
        results(&[("functions.read_file:0", "", true)]),
        user("Stop."),
        user("Go on."),
        assistant("test", vec![said("On I go."), call("call_c", "")]),
        user("No, really stop."),
    ]
}

async fn sent(models: &Models, server: &HttpServer, request: ModelRequest) -> SeenRequest {
    ask(models, request).await.0.unwrap();
    server.requests().pop().unwrap()
}

#[tokio::test]
async fn the_request_of_a_conversation_with_everything() {
    for &(wire, name) in WIRES {
        let server = HttpServer::start([answer(wire)]).await.unwrap();
        let request = sent(&models(wire, &server), &server, request(conversation(wire))).await;
        check_head(wire, &request);
        let file = folder("requests").join(format!("{name}.json"));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, format!("{}\n", serde_json::to_string_pretty(&request.json()).unwrap())).unwrap();
        }
        let expected: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(request.json(), expected, "{name}");
        check_pairs(wire, &request.json());
    }
}

fn check_head(wire: Wire, request: &SeenRequest) {
    let (path, header, value) = match wire {
        Wire::Anthropic => ("/v1/messages", "x-api-key", KEY.to_owned()),
        Wire::OpenAiChat => ("/v1/chat/completions", "authorization", format!("Bearer {KEY}")),
        _ => ("/v1/responses", "authorization", format!("Bearer {KEY}")),
    };
    assert_eq!(request.line, format!("POST {path} HTTP/1.1"));
    assert_eq!(request.header(header), Some(value.as_str()));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("content-length"), Some(request.body.len().to_string().as_str()));
    assert_eq!(request.header("transfer-encoding"), None);
    assert!(request.header("user-agent").unwrap().starts_with("harness-host/"));
    if wire == Wire::Anthropic {
        assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
    }
}

/// Every call has one result right after it, and the sides alternate where they have to.
fn check_pairs(wire: Wire, body: &Value) {
    let ids = |list: &[Value], kind: &str, field: &str| -> Vec<String> {
        list.iter()
            .filter(|block| block["type"] == kind)
            .map(|block| block[field].as_str().unwrap().to_owned())
            .collect()
    };
    match wire {
        Wire::Anthropic => {
            let messages = body["messages"].as_array().unwrap();
            for (at, message) in messages.iter().enumerate() {
                assert_eq!(message["role"], if at % 2 == 0 { "user" } else { "assistant" });
                let calls = ids(message["content"].as_array().unwrap(), "tool_use", "id");
                if !calls.is_empty() {
                    let next = messages[at + 1]["content"].as_array().unwrap();
                    assert_eq!(ids(next, "tool_result", "tool_use_id"), calls);
                    assert!(
                        next[..calls.len()].iter().all(|block| block["type"] == "tool_result"),
                        "results come first"
                    );
                }
            }
            assert!(body.to_string().matches("cache_control").count() <= 4);
        }
        Wire::OpenAiResponses => {
            let input = body["input"].as_array().unwrap();
            assert_eq!(ids(input, "function_call", "call_id"), ids(input, "function_call_output", "call_id"));
        }
        _ => {
            let messages = body["messages"].as_array().unwrap();
            for (at, message) in messages.iter().enumerate() {
                for (number, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
                    assert_eq!(messages[at + 1 + number]["tool_call_id"], call["id"]);
                    assert!(
                        serde_json::from_str::<Value>(call["function"]["arguments"].as_str().unwrap())
                            .unwrap()
                            .is_object()
                    );
                }
                assert!(at == 0 || message["role"] != "user" || messages[at - 1]["role"] != "user");
            }
        }
    }
}

/// The body without its cache marks, and without what closes it.
fn prefix(body: &[u8], end: &str) -> String {
    let text = String::from_utf8(body.to_vec()).unwrap().replace(",\"cache_control\":{\"type\":\"ephemeral\"}", "");
    text.strip_suffix(end).unwrap().to_owned()
}

#[tokio::test]
async fn a_request_begins_with_the_one_before() {
    for &(wire, name) in WIRES {
        let server = HttpServer::start((0..9).map(|_| answer(wire))).await.unwrap();
        let models = models(wire, &server);
        let items = conversation(wire);
        let end = if wire == Wire::Anthropic { "]}]}" } else { "]}" };
        let mut before: Option<String> = None;
        for count in [1, 3, 5, 6, 9] {
            let request = sent(&models, &server, request(items[..count].to_vec())).await;
            let now = prefix(&request.body, end);
            if let Some(before) = before.replace(now.clone()) {
                // In Chat, the words of the user's last message are closed by a quote and a brace.
                let before =
                    if wire == Wire::OpenAiChat { before.strip_suffix("\"}").unwrap_or(&before) } else { &before };
                assert!(now.starts_with(before), "{name} at {count}:\n{before}\n{now}");
            }
        }
        assert_eq!(server.accepts(), 1, "{name}: one connection serves all requests");
    }
}

/// Where the marks of a request are: the text of the blocks that hold them.
fn marked(request: &SeenRequest) -> Vec<String> {
    let body = request.json();
    let blocks = body["messages"].as_array().unwrap().iter().flat_map(|message| message["content"].as_array().unwrap());
    blocks
        .filter(|block| block.get("cache_control").is_some())
        .map(|block| block["text"].as_str().or(block["content"].as_str()).unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn cache_marks_move_with_the_conversation() {
    let wire = Wire::Anthropic;
    let server = HttpServer::start((0..9).map(|_| answer(wire))).await.unwrap();
    let models = models(wire, &server);
    let mut items = vec![user("one")];
    let mut seen = Vec::new();
    for step in 0..4 {
        let request = sent(&models, &server, request(items.clone())).await;
        let body = request.json();
        assert!(body["tools"][1]["cache_control"].is_object() && body["tools"][0].get("cache_control").is_none());
        assert!(body["system"][0]["cache_control"].is_object());
        seen.push(marked(&request));
        items.push(assistant("test", vec![call(&format!("c{step}"), "{}")]));
        items.push(results(&[(&format!("c{step}"), &format!("result {step}"), false)]));
    }
    assert_eq!(
        seen,
        [vec!["one"], vec!["one", "result 0"], vec!["result 0", "result 1"], vec!["result 1", "result 2"]]
    );
    // Without what was kept of the session, the same request comes out.
    let again = self::models(wire, &server);
    items.truncate(7);
    let fresh = sent(&again, &server, request(items)).await;
    assert_eq!(fresh.body, server.requests()[3].body);
}

#[tokio::test]
async fn a_new_step_encodes_only_what_is_new() {
    for &(wire, name) in WIRES {
        let server = HttpServer::start((0..3).map(|_| answer(wire))).await.unwrap();
        let models = models(wire, &server);
        let mut items = vec![user("begin")];
        for step in 0..500 {
            items.push(assistant("test", vec![said("next"), call(&format!("c{step}"), "{}")]));
            items.push(results(&[(&format!("c{step}"), &"x".repeat(2_000), false)]));
        }
        sent(&models, &server, request(items.clone())).await;
        let all = models.encoded_bytes();
        assert!(all > 1_000_000, "{name}: {all}");
        items.push(assistant("test", vec![call("last", "{}")]));
        items.push(results(&[("last", "done", false)]));
        let request_seen = sent(&models, &server, request(items.clone())).await;
        let new = models.encoded_bytes() - all;
        assert!(new > 50 && new < 400, "{name}: {new} bytes for two small items");
        assert!(request_seen.body.len() as u64 > all, "{name}: all of it is sent");
        check_pairs(wire, &request_seen.json());
        sent(&models, &server, request(items)).await;
        assert_eq!(models.encoded_bytes() - all, new, "{name}: a repetition encodes nothing");
    }
}

#[tokio::test]
async fn models_that_think_are_asked_to_show_it() {
    let server = HttpServer::start((0..2).map(|_| answer(Wire::Anthropic))).await.unwrap();
    let models = models(Wire::Anthropic, &server);
    for (model, thinking) in
        [("claude-sonnet-5-5", json!({"type": "adaptive", "display": "summarized"})), ("claude-haiku-4-5", Value::Null)]
    {
        let mut request = request(vec![user("Hello")]);
        request.context = common::context(model);
        request.output_tokens_max = None;
        let body = sent(&models, &server, request).await.json();
        assert_eq!((&body["thinking"], &body["max_tokens"]), (&thinking, &json!(32_000)), "{model}");
    }
}
