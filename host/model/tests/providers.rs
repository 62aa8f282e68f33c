//! Sets of providers: names, keys, connections, prices, probes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{KEY, WIRES, ask, ask_once, config, folder, models, request, user};
use harness_core::event::ModelFailureKind;
use harness_model::{ApiKey, KeyError, Models, ModelsError, Price, ProviderConfig, Wire};
use harness_sim::http_server::{HttpServer, Reply};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn text_stream(name: &str) -> Vec<u8> {
    std::fs::read(folder("streams").join(name).join("text/response.sse")).unwrap()
}

#[tokio::test]
async fn connections_are_used_again_also_after_failures() {
    for &(wire, name) in WIRES {
        let good = || Reply::stream(&text_stream(name));
        let bad = || Reply::status(429, &[("retry-after", "1")], "{}");
        let server = HttpServer::start([good(), bad(), good(), good(), bad(), good()]).await.unwrap();
        let models = models(wire, &server);
        for good in [true, false, true, true, false, true] {
            assert_eq!(ask_once(&models).await.is_ok(), good, "{name}");
        }
        assert_eq!(server.accepts(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure_to_connect() {
    let url = HttpServer::start([]).await.unwrap().url();
    let failure = ask_once(&Models::new(vec![config(Wire::OpenAiChat, url)]).unwrap()).await.unwrap_err();
    assert_eq!(failure.kind, ModelFailureKind::Disconnected);
    assert!(failure.message.contains("could not connect"), "{failure:?}");
}

#[tokio::test]
async fn a_key_is_shown_nowhere() {
    let echo = format!("{{\"error\":{{\"message\":\"bad key {KEY} or Bearer {KEY}, {}...\"}}}}", &KEY[..16]);
    let server = HttpServer::start([Reply::status(401, &[], &echo), Reply::status(400, &[], &echo)]).await.unwrap();
    let models = models(Wire::OpenAiChat, &server);
    for _ in 0..2 {
        let failure = ask_once(&models).await.unwrap_err();
        assert!(failure.message.contains("[key]") && !failure.message.contains("sk-test"), "{failure:?}");
    }
    let config = config(Wire::OpenAiChat, server.url());
    assert!(!format!("{config:?}{models:?}").contains("sk-test"));
}

#[tokio::test]
async fn keys_are_read_when_needed_and_again_after_a_refusal() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let key = move || Ok(Some(ApiKey::new(&format!("key-number-{}", counted.fetch_add(1, Ordering::SeqCst)))));
    let good = || Reply::stream(&text_stream("anthropic"));
    let server = HttpServer::start([good(), good(), Reply::status(401, &[], "{}"), good()]).await.unwrap();
    let config = ProviderConfig { key: Some(Arc::new(key)), ..config(Wire::Anthropic, server.url()) };
    let models = Models::new(vec![config]).unwrap();
    assert_eq!(reads.load(Ordering::SeqCst), 0, "not before it is needed");
    for _ in 0..4 {
        let _ = ask_once(&models).await;
    }
    let sent: Vec<String> =
        server.requests().iter().map(|request| request.header("x-api-key").unwrap().to_owned()).collect();
    assert_eq!(sent, ["key-number-0", "key-number-0", "key-number-0", "key-number-1"]);
}

#[tokio::test]
async fn keys_that_are_missing_or_broken_are_failures_of_authentication() {
    for (key, base_url, words) in [
        (None, "https://api.anthropic.com", "no API key is set"),
        (Some(Err(KeyError("the file keys/a is missing".into()))), "http://127.0.0.1:9", "the file keys/a is missing"),
        (Some(Ok(Some(ApiKey::new("secret\nkey")))), "http://127.0.0.1:9", "such as a line break"),
    ] {
        let mut config = config(Wire::Anthropic, base_url.to_owned());
        config.key = key.map(|key| Arc::new(move || key.clone()) as Arc<dyn harness_model::KeyProvider>);
        let failure = ask_once(&Models::new(vec![config]).unwrap()).await.unwrap_err();
        assert_eq!(failure.kind, ModelFailureKind::Authentication, "{failure:?}");
        assert!(failure.message.contains(words) && !failure.message.contains("secret"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_request_goes_to_the_provider_it_names() {
    let (one, two) = (
        HttpServer::start([Reply::stream(&text_stream("openai_chat"))]).await.unwrap(),
        HttpServer::start([]).await.unwrap(),
    );
    let named = |name: &str, server: &HttpServer| ProviderConfig {
        name: name.to_owned(),
        ..config(Wire::OpenAiChat, server.url())
    };
    let models = Models::new(vec![named("test", &one), named("other", &two)]).unwrap();
    ask_once(&models).await.unwrap();
    assert_eq!((one.requests().len(), two.requests().len()), (1, 0));
    let mut unknown = request(vec![user("Hello")]);
    unknown.context =
        Arc::new(harness_core::event::Context { model: "nobody/m".parse().unwrap(), ..(*unknown.context).clone() });
    let failure = ask(&models, unknown).await.0.unwrap_err();
    assert_eq!(failure.kind, ModelFailureKind::Refused);
    assert_eq!(failure.message, "no provider named `nobody` is configured; there are: other, test");
    let twice = Models::new(vec![named("test", &one), named("test", &two)]).unwrap_err();
    assert_eq!(twice, ModelsError::Twice("test".into()));
    let wrong = Models::new(vec![config(Wire::OpenAiChat, "localhost".into())]).unwrap_err();
    assert!(wrong.to_string().contains("provider `test`") && wrong.to_string().contains("not a base URL"), "{wrong}");
}

#[tokio::test]
async fn prices_give_costs() {
    let server = HttpServer::start([Reply::stream(&text_stream("openai_responses"))]).await.unwrap();
    let price = Price { input: 2.0, cached_input: Some(0.5), cache_write: None, output: 10.0 };
    let config = ProviderConfig {
        prices: BTreeMap::from([("some-model".into(), price)]),
        ..config(Wire::OpenAiResponses, server.url())
    };
    let usage = ask_once(&Models::new(vec![config]).unwrap()).await.unwrap().usage;
    // 29 x 2.0 + 8 x 0.5 + 11 x 10.0
    assert_eq!((usage.input_tokens, usage.cached_input_tokens, usage.output_tokens), (37, 8, 11));
    assert_eq!(usage.cost_micro_usd, Some(172));
}

#[tokio::test]
async fn a_probe_says_whether_a_provider_answers() {
    let list = r#"{"data":[{"id":"model-a"},{"id":"model-b"}]}"#;
    let server =
        HttpServer::start([Reply::status(200, &[], list), Reply::status(401, &[], "{}"), Reply::status(200, &[], "?")])
            .await
            .unwrap();
    let models = models(Wire::Anthropic, &server);
    let reachable = models.probe("test").await.unwrap();
    assert_eq!(reachable.models, ["model-a", "model-b"]);
    assert_eq!(server.requests()[0].line, "GET /v1/models HTTP/1.1");
    assert_eq!(models.probe("test").await.unwrap_err().kind, ModelFailureKind::Authentication);
    assert!(models.probe("test").await.unwrap().models.is_empty());
    assert_eq!(models.probe("nobody").await.unwrap_err().kind, ModelFailureKind::Refused);
}

#[tokio::test]
async fn secure_connections_can_be_set_up() {
    // A port where nothing listens: TLS is configured, then connecting fails.
    let server = HttpServer::start([]).await.unwrap();
    let url = server.url().replace("http:", "https:");
    drop(server);
    let failure = ask_once(&Models::new(vec![config(Wire::OpenAiChat, url)]).unwrap()).await.unwrap_err();
    let known = [ModelFailureKind::Disconnected, ModelFailureKind::Refused];
    assert!(known.contains(&failure.kind) && !failure.message.is_empty(), "{failure:?}");
}
