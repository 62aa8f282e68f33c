//! Recorded streams, each played by a real server: see streams/README.md.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{WIRES, ask, ask_once, folder, models, request, user};
use harness_core::event::{ModelFailure, ModelFailureKind, ModelStop};
use harness_core::item::AssistantPart;
use harness_engine::ports::{ModelDelta, ModelResponse};
use harness_model::Wire;
use harness_sim::http_server::{After, HttpServer, Reply};
use serde_json::{Value, json};
use std::path::Path;

/// The cases of a folder, by name.
fn cases(name: &str) -> Vec<(String, std::path::PathBuf)> {
    let mut cases: Vec<_> = std::fs::read_dir(folder("streams").join(name))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    cases.sort();
    assert!(cases.len() > 10, "{name} has too few cases");
    cases
}

fn expected(case: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(case.join("expected.json")).unwrap()).unwrap()
}

fn reply(case: &Path) -> Reply {
    if let Ok(body) = std::fs::read(case.join("response.sse")) {
        return Reply::stream(&body);
    }
    let text = std::fs::read_to_string(case.join("response.http")).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    Reply::raw(format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n")))
}

fn as_json(response: &ModelResponse) -> Value {
    json!({ "parts": response.parts, "stop": response.stop, "usage": response.usage, "provider_response": response.provider_response })
}

fn check(name: &str, expected: &Value, result: &Result<ModelResponse, ModelFailure>) {
    match (expected.get("response"), result) {
        (Some(response), Ok(got)) => assert_eq!(&as_json(got), response, "{name}"),
        (None, Err(failure)) => {
            let wanted = &expected["failure"];
            assert_eq!(json!(failure.kind), wanted["kind"], "{name}: {failure:?}");
            assert_eq!(json!(failure.status), wanted["status"], "{name}: {failure:?}");
            assert_eq!(json!(failure.retry_after_ms), wanted["retry_after_ms"], "{name}: {failure:?}");
            assert!(failure.message.contains(wanted["message_has"].as_str().unwrap()), "{name}: {failure:?}");
            assert!(failure.message.starts_with("test (127.0.0.1:"), "{name}: {failure:?}");
            assert!(!failure.message.contains("0123456789"), "{name} shows the key: {failure:?}");
            assert!(!failure.message.contains(char::is_control), "{name}: {failure:?}");
        }
        _ => panic!("{name}: expected {expected}, got {result:?}"),
    }
}

/// What was streamed is what was answered.
fn check_deltas(name: &str, response: &ModelResponse, deltas: &[ModelDelta]) {
    let mut streamed = (String::new(), String::new(), Vec::new());
    for delta in deltas {
        match delta {
            ModelDelta::Text { text } => streamed.0.push_str(text),
            ModelDelta::Reasoning { text } => streamed.1.push_str(text),
            ModelDelta::ToolCall { index, tool } => {
                assert_eq!(*index, streamed.2.len(), "{name}");
                streamed.2.push((tool.clone(), String::new()));
            }
            ModelDelta::ToolArguments { index, text } => streamed.2[*index].1.push_str(text),
        }
    }
    let mut whole = (String::new(), String::new(), Vec::new());
    for part in &response.parts {
        match part {
            AssistantPart::Text { text } => whole.0.push_str(text),
            AssistantPart::Reasoning { text, .. } => whole.1.push_str(text),
            AssistantPart::ToolCall { tool, arguments, .. } => whole.2.push((tool.clone(), arguments.clone())),
        }
    }
    // Arguments that never came are an empty object; a call that was cut is left out.
    for (_, arguments) in streamed.2.iter_mut().filter(|(_, arguments)| arguments.is_empty()) {
        *arguments = "{}".to_owned();
    }
    if response.stop == ModelStop::OutputLimit {
        streamed.2.truncate(whole.2.len());
    }
    assert_eq!(streamed, whole, "{name}");
}

#[tokio::test]
async fn every_recorded_stream_gives_what_it_should() {
    for &(wire, folder) in WIRES {
        for (name, case) in cases(folder) {
            let server = HttpServer::start([reply(&case)]).await.unwrap();
            let (result, deltas) = ask(&models(wire, &server), request(vec![user("Hello?")])).await;
            let name = format!("{folder}/{name}");
            check(&name, &expected(&case), &result);
            if let Ok(response) = &result {
                check_deltas(&name, response, &deltas);
            }
        }
    }
}

#[tokio::test]
async fn every_wire_understands_what_servers_say_instead_of_a_stream() {
    for &(wire, folder) in WIRES {
        for (name, case) in cases("any_wire") {
            let server = HttpServer::start([reply(&case)]).await.unwrap();
            check(&format!("{folder} {name}"), &expected(&case), &ask_once(&models(wire, &server)).await);
            assert_eq!(server.requests().len(), 1, "{name}: a request is sent once");
        }
    }
}

/// Where the events of a stream end.
fn event_ends(body: &str) -> Vec<usize> {
    let mut ends: Vec<usize> = body.match_indices("\n\n").map(|(at, _)| at + 2).collect();
    ends.extend(body.match_indices("\r\n\r\n").map(|(at, _)| at + 4));
    ends.sort_unstable();
    ends
}

#[tokio::test]
async fn a_cut_stream_never_gives_a_call() {
    let mut cuts = 0;
    for &(wire, folder) in WIRES {
        for (name, case) in cases(folder) {
            let Ok(body) = std::fs::read_to_string(case.join("response.sse")) else { continue };
            let whole = expected(&case);
            if whole.get("response").is_none() {
                continue;
            }
            let ends = event_ends(&body);
            let mut places: Vec<usize> = ends.iter().copied().filter(|&end| end < body.len()).collect();
            // Also in the middle of events.
            places.extend(ends.iter().filter_map(|end| end.checked_sub(9)));
            // The connection breaks, or a proxy ends the body as if it were whole.
            let cut = |place: usize| &body.as_bytes()[..place];
            let replies = places.iter().flat_map(|&place| [Reply::cut_stream(cut(place)), Reply::stream(cut(place))]);
            let server = HttpServer::start(replies).await.unwrap();
            let models = models(wire, &server);
            for place in places.iter().flat_map(|&place| [place, place]) {
                cuts += 1;
                match ask_once(&models).await {
                    Err(failure) => assert_eq!(
                        failure.kind,
                        ModelFailureKind::Disconnected,
                        "{folder}/{name} at {place}: {failure:?}"
                    ),
                    // All that matters had come: only usage, the mark of the end or the last line end is missing.
                    Ok(response) => {
                        assert_eq!(wire, Wire::OpenAiChat, "{folder}/{name} at {place}: {response:?}");
                        let rest = &body[place..];
                        assert!(
                            !rest.contains("\"finish_reason\":\"") && !rest.contains("tool_calls"),
                            "{folder}/{name} at {place}: {response:?}"
                        );
                        assert_eq!(json!(response.parts), whole["response"]["parts"], "{folder}/{name} at {place}");
                    }
                }
            }
        }
    }
    assert!(cuts > 600, "only {cuts} places were tried");
}

#[tokio::test]
async fn any_split_gives_the_same_response() {
    for &(wire, folder) in WIRES {
        let case = common::folder("streams").join(folder).join("text");
        let body = std::fs::read(case.join("response.sse")).unwrap();
        let expected = expected(&case);
        let server = HttpServer::start([]).await.unwrap();
        let models = models(wire, &server);
        server.push(Reply::stream_in_pieces(body.chunks(1)));
        check("one byte at a time", &expected, &ask_once(&models).await);
        for at in 1..body.len() {
            server.push(Reply::stream_in_pieces([&body[..at], &body[at..]]));
            check(&format!("{folder} split at {at}"), &expected, &ask_once(&models).await);
        }
    }
}

/// A stream with one call whose arguments are large.
fn large_call(wire: Wire, arguments: &str) -> String {
    let piece = |text: &str| -> Value {
        match wire {
            Wire::Anthropic => {
                json!({"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":text}})
            }
            Wire::OpenAiResponses => {
                json!({"type":"response.function_call_arguments.delta","output_index":0,"delta":text})
            }
            _ => json!({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":text}}]}}]}),
        }
    };
    let (before, after) = match wire {
        Wire::Anthropic => (
            vec![
                json!({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"write","input":{}}}),
            ],
            vec![
                json!({"type":"content_block_stop","index":0}),
                json!({"type":"message_delta","delta":{"stop_reason":"tool_use"}}),
                json!({"type":"message_stop"}),
            ],
        ),
        Wire::OpenAiResponses => {
            let item =
                |arguments: &str| json!({"type":"function_call","call_id":"t","name":"write","arguments":arguments});
            (
                vec![json!({"type":"response.output_item.added","output_index":0,"item":item("")})],
                vec![
                    json!({"type":"response.output_item.done","output_index":0,"item":item(arguments)}),
                    json!({"type":"response.completed","response":{"output":[item(arguments)]}}),
                ],
            )
        }
        _ => (
            vec![
                json!({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"write"}}]}}]}),
            ],
            vec![json!({"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]})],
        ),
    };
    let pieces: Vec<Value> =
        arguments.as_bytes().chunks(4_000).map(|chunk| piece(std::str::from_utf8(chunk).unwrap())).collect();
    before.into_iter().chain(pieces).chain(after).map(|event| format!("data: {event}\n\n")).collect()
}

#[tokio::test]
async fn a_megabyte_of_arguments_is_whole() {
    let arguments = json!({ "content": "x\\\n\"".repeat(1 << 18) }).to_string();
    assert!(arguments.len() > 1 << 20);
    for &(wire, name) in WIRES {
        let body = large_call(wire, &arguments);
        let server = HttpServer::start([Reply::stream_in_pieces(body.as_bytes().chunks(10_007))]).await.unwrap();
        let response = ask_once(&models(wire, &server)).await.unwrap();
        let call =
            AssistantPart::ToolCall { provider_call: "t".into(), tool: "write".into(), arguments: arguments.clone() };
        assert!(response.parts == [call], "{name}");
    }
}

#[tokio::test]
async fn silence_and_endless_streams_have_limits() {
    use harness_model::{ModelLimits, Models};
    let limits = ModelLimits { idle_ms: 100, ending_ms: 50, response_bytes_max: 20_000, ..ModelLimits::default() };
    for &(wire, name) in WIRES {
        let head = Reply { pieces: vec![], after: After::Hang };
        let begun = Reply::cut_stream(b": begun\n\n").then(After::Hang);
        let endless = Reply::cut_stream(": more\n\n".repeat(10_000).as_bytes()).then(After::Hang);
        let server = HttpServer::start([head, begun, endless]).await.unwrap();
        let models = Models::with_limits(vec![common::config(wire, server.url())], limits).unwrap();
        for kind in [ModelFailureKind::Disconnected, ModelFailureKind::Disconnected, ModelFailureKind::Refused] {
            let failure = ask_once(&models).await.unwrap_err();
            assert_eq!(failure.kind, kind, "{name}: {failure:?}");
        }
    }
}

/// Sends a head, then chunks for ever, each well before a silence would be noticed.
async fn dripping(head: &'static str, chunk: &'static str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
        // Until the client closes the connection.
        while stream.write_all(chunk.as_bytes()).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    url
}

#[tokio::test]
async fn what_is_kept_alive_for_ever_has_limits() {
    use harness_model::{ModelLimits, Models};
    let limits = ModelLimits { response_ms: 400, error_body_ms: 400, ..ModelLimits::default() };
    for (head, chunk, kind, words) in [
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            ": keep-alive\n\n",
            ModelFailureKind::Disconnected,
            "did not end within",
        ),
        (
            "HTTP/1.1 400 Bad\r\ntransfer-encoding: chunked\r\n\r\n",
            "wrong! ",
            ModelFailureKind::Refused,
            "wrong! wrong!",
        ),
    ] {
        let url = dripping(head, chunk).await;
        let models = Models::with_limits(vec![common::config(Wire::OpenAiChat, url)], limits).unwrap();
        let failure = ask_once(&models).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(failure.message.contains(words), "{failure:?}");
    }
}

#[tokio::test]
async fn a_key_that_a_server_answers_with_is_not_seen() {
    use common::KEY;
    let (begin, end) = KEY.split_at(9);
    let events = [
        json!({"id": KEY, "choices":[{"delta":{"reasoning": begin}}]}),
        json!({"choices":[{"delta":{"reasoning": end, "reasoning_details": [{"type": "x", "data": KEY}]}}]}),
        json!({"choices":[{"delta":{"content": format!("it is {begin}")}}]}),
        json!({"choices":[{"delta":{"content": format!("{end}.")}}]}),
        json!({"choices":[{"delta":{"tool_calls":[{"index":0,"id":KEY,"function":{"name":KEY,"arguments":begin}}]}}]}),
        json!({"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":end}}]},"finish_reason":"tool_calls"}]}),
    ];
    let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let server = HttpServer::start([Reply::stream(body.as_bytes())]).await.unwrap();
    let (response, deltas) = ask(&models(Wire::OpenAiChat, &server), request(vec![user("Your key?")])).await;
    let response = response.unwrap();
    check_deltas("echo", &response, &deltas);
    assert!(!as_json(&response).to_string().contains(KEY) && !format!("{deltas:?}").contains(KEY), "{response:?}");
    assert!(response.parts.contains(&AssistantPart::Text { text: "it is [key].".into() }), "{response:?}");
    assert_eq!(response.provider_response.as_deref(), Some("[key]"));
}

#[tokio::test]
async fn what_is_kept_of_a_stream_beside_its_text_has_limits() {
    let detail = |index: usize, data: &str| json!({"choices":[{"delta":{"reasoning_details":[{"type":"x","index":index,"data":data}]}}]});
    let item = |at: usize| json!({"type":"response.output_item.done","output_index":at,"item":{"type":"x","list":"x".repeat(1 << 20)}});
    let many: Vec<Value> = (0..2_000).map(|index| detail(index, "")).collect();
    let large: Vec<Value> = (0..5).map(|_| detail(0, &"x".repeat(1 << 20))).collect();
    let items: Vec<Value> = (0..17).map(item).collect();
    for (wire, events, words) in [
        (Wire::OpenAiChat, many, "reasoning details"),
        (Wire::OpenAiChat, large, "reasoning details"),
        (Wire::OpenAiResponses, items, "items"),
    ] {
        let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        let server = HttpServer::start([Reply::stream(body.as_bytes())]).await.unwrap();
        let failure = ask_once(&models(wire, &server)).await.unwrap_err();
        assert_eq!(failure.kind, ModelFailureKind::MalformedStream, "{failure:?}");
        assert!(failure.message.contains(words), "{failure:?}");
    }
}

#[tokio::test]
async fn a_finished_answer_does_not_wait_for_an_end_that_never_comes() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Ok\"},\"finish_reason\":\"stop\"}]}\n\n";
    let server = HttpServer::start([Reply::cut_stream(body.as_bytes()).then(After::Hang)]).await.unwrap();
    let response = ask_once(&models(Wire::OpenAiChat, &server)).await.unwrap();
    assert_eq!(response.parts, [AssistantPart::Text { text: "Ok".into() }]);
}
