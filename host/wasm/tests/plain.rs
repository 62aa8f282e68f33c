//! Plain components and described ones through the runtime: real calls, real limits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_core::Outcome;
use harness_core::outcome::{FailureKind, LimitName, Part};
use harness_wasm::{CallLimits, Component, ComponentSource, DescribeError, Runtime, RuntimeSettings};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{assemble, call, hands, read};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn runtime() -> Arc<Runtime> {
    Arc::new(Runtime::new(RuntimeSettings { threads: 1, ..RuntimeSettings::default() }))
}

fn wat(name: &str) -> Vec<u8> {
    assemble(&std::fs::read_to_string(tests().join("components-read").join(name)).unwrap())
}

#[tokio::test]
async fn a_function_is_a_tool() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let component = read("plain", wat("plain.wat"), CallLimits::DEFAULT).unwrap();
    let hands = hands(&runtime, folder.path(), &[component]);
    let sum = |arguments: &'static str| call(&hands, "sum", arguments);
    let report = sum("{\"a\":1,\"b\":4294967294}").await;
    assert_eq!(report.outcome, Outcome::Returned { parts: vec![Part::Json { json: "4294967295".to_owned() }] });
    assert!(report.usage.fuel > 0);
    for (arguments, expected) in [
        ("{\"a\":1}", "the arguments: `b` is missing: it is a whole number from 0 to 4294967295"),
        ("{\"a\":1,\"b\":-1}", "/b: expected a whole number from 0 to 4294967295, got -1"),
        ("nonsense", "the arguments: not JSON: expected ident at line 1 column 2"),
    ] {
        let outcome = sum(arguments).await.outcome;
        assert_eq!(outcome, Outcome::failed(FailureKind::InvalidArguments, "arguments", expected));
    }
}

/// A component whose `describe` runs this body.
fn described(body: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(tests().join("components-read/tool-describe.wat")).unwrap();
    assemble(&text.replace("(result i32) (i32.const 600)", &format!("(result i32) {body} (i32.const 600)")))
}

#[tokio::test]
async fn a_component_is_asked_for_its_tools_with_everything_denied() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let component = read("told", described(""), CallLimits::DEFAULT).unwrap();
    assert!(component.needs_describing() && component.tools().is_empty());
    let json = runtime.describe(&component).await.unwrap();
    let source = ComponentSource { name: "told".to_owned(), bytes: component.bytes().to_vec().into() };
    let component = Component::read_described(source, CallLimits::DEFAULT, &json).unwrap();
    let hands = hands(&runtime, folder.path(), &[component]);
    assert_eq!(call(&hands, "told", "{}").await.outcome, Outcome::text("ok"));

    // Its own limits hold as well.
    let limits = CallLimits { fuel: 1_000_000, ..CallLimits::DEFAULT };
    let ask = async |bytes: Vec<u8>| runtime.describe(&read("told", bytes, limits).unwrap()).await;
    let endless = ask(described("(loop $l (br $l))")).await.unwrap_err().to_string();
    assert!(endless.contains(&format!("crossed {} = 1000000", LimitName::Fuel.name())), "{endless}");
    let trap = ask(described("unreachable")).await.unwrap_err();
    assert!(matches!(&trap, DescribeError::Call { problem, .. } if problem.contains("unreachable")), "{trap}");
    let nonsense = ask(described("(i32.store8 (i32.const 656) (i32.const 0x21))")).await.unwrap_err();
    assert!(matches!(nonsense, DescribeError::Answer { .. }), "{nonsense}");
    let nothing = ask(wat("plain.wat")).await.unwrap_err();
    assert!(matches!(nothing, DescribeError::Nothing { .. }), "{nothing}");
}

/// What a tool of the Rust guest gives back.
async fn echo(hands: &harness_wasm::ComponentHands, tool: &str, arguments: &Value) -> Value {
    match call(hands, tool, &arguments.to_string()).await.outcome {
        Outcome::Returned { parts } => match parts.as_slice() {
            [Part::Json { json }] => serde_json::from_str(json).unwrap(),
            [Part::Text { text }] => json!(text),
            [] => json!("nothing"),
            other => panic!("{other:?}"),
        },
        Outcome::Failed { code, message, .. } => json!([code, message]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_guest_in_rust_that_knows_nothing_of_this_host_is_a_set_of_tools() {
    let path = tests().join("guests/dist/echo-rust.wasm");
    assert!(path.exists(), "echo-rust is not built: run tests/guests/build, then this test again");
    let component = read("echo", std::fs::read(path).unwrap(), CallLimits::DEFAULT).unwrap();
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let hands = hands(&runtime, folder.path(), &[component]);
    let drawing = json!({
        "title": null, "points": [[0.5, -1.0], [1e300, 2.0]], "colour": "green", "styles": ["bold", "wide"],
        "shape": { "circle": 0.1 }, "raw": "aGk=", "id": "18446744073709551615", "inner": { "some": null },
    });
    for (tool, arguments, expected) in [
        ("echo_drawing", json!({ "it": drawing }), drawing.clone()),
        (
            "echo_numbers",
            json!({ "a": -128, "b": 65535, "c": -2_147_483_648_i64, "d": 5, "e": 0.1 }),
            json!([-128, 65535, -2_147_483_648_i64, 5, 0.1]),
        ),
        ("echo_text", json!({ "it": "grüße\n" }), json!("grüße\n")),
        ("echo_letter", json!({ "it": "ß" }), json!("ß")),
        ("echo_floats", json!({ "it": ["NaN", "-Infinity", 1.5] }), json!(["NaN", "-Infinity", 1.5])),
        ("echo_both", json!({ "it": { "err": ["a"] } }), json!(["error", "[\"a\"]"])),
        ("echo_unit", json!({}), json!("nothing")),
        ("echo_fails", json!({ "how": "badly" }), json!(["error", "badly"])),
        ("echo_fails", json!({ "how": null }), json!("nothing")),
        ("shout", json!({ "words": "hi" }), json!("HI")),
    ] {
        let found = echo(&hands, tool, &arguments).await;
        assert_eq!(found, expected, "{tool} {arguments}");
    }
}
