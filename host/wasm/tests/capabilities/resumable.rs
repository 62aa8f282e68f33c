//! Tools that need something before they can go on.

use crate::lab::{Lab, guest, refused, returned};
use harness_core::Outcome;
use harness_core::event::Changes;
use harness_core::outcome::Reply;
use harness_engine::ports::{CallReport, Resume};
use serde_json::{Value, json};

const ASK: &[&str] = &["filesystem write /workspace", "question"];

fn lab() -> Lab {
    Lab::with(guest("asks-rust", None))
}

fn faulted(report: &CallReport, words: &str) {
    assert!(matches!(&report.outcome, Outcome::Faulted { what } if what.contains(words)), "{:?}", report.outcome);
}

#[tokio::test]
async fn a_question_ends_the_call_and_its_answer_goes_on_with_it() {
    let lab = lab();
    let arguments =
        json!({ "words": "Really\u{202e}?\n1. forged", "choices": ["yes", "no\nmaybe"], "state": "here\n\u{1b}" });
    let report = lab.call("ask", arguments, ASK).await;
    let expected = Outcome::NeedsInput {
        question: "Really? 1. forged".to_owned(),
        choices: vec!["yes".to_owned(), "no maybe".to_owned()],
        state: "here\n\u{1b}".to_owned(),
    };
    assert_eq!((&report.outcome, &report.changes), (&expected, &Changes::None));
    assert!(report.contents.is_empty() && report.record.refused.is_empty());
    for (reply, words) in [
        (Reply::Answer { text: "yes".to_owned() }, "here: answer yes"),
        (Reply::Unanswered, "here: unanswered"),
        (Reply::Outcome { text: "done".to_owned(), is_error: true }, "here: outcome done true"),
    ] {
        let report = lab.resume("ask", ASK, Resume { state: "here".to_owned(), reply }).await;
        assert_eq!(returned(&report), words);
        let Changes::Staged { manifest } = report.changes else { panic!("{words}") };
        assert_eq!(manifest.entries()[0].path, "answered.txt");
    }
}

#[tokio::test]
async fn another_tools_call_is_asked_for_by_name() {
    let lab = lab();
    let arguments = json!({ "tool": "read_file", "with": "{\"path\":\"a\"}", "state": "s" });
    let report = lab.call("call", arguments.clone(), &["tool read_file"]).await;
    let expected = Outcome::NeedsCall {
        tool: "read_file".to_owned(),
        arguments: "{\"path\":\"a\"}".to_owned(),
        state: "s".to_owned(),
    };
    assert_eq!(report.outcome, expected);
    let report = lab.call("call", arguments, &["question", "tool write_file"]).await;
    assert!(
        matches!(&report.outcome, Outcome::NotGranted { capability, .. } if capability.to_string() == "tool read_file")
    );
    assert_eq!(refused(&report), ["tool read_file"]);
    for (tool, with, words) in [
        ("../x", "{}", "no tool's name"),
        ("", "{}", "no tool's name"),
        ("x", "[]", "no JSON object"),
        ("x", "{", "no JSON object"),
    ] {
        let report = lab.call("call", json!({ "tool": tool, "with": with }), &["tool x"]).await;
        faulted(&report, words);
    }
}

#[tokio::test]
async fn questions_are_granted_and_bounded() {
    let lab = lab();
    let ask = |more: Value| {
        let mut arguments = json!({ "words": "?", "state": "s" });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    let report = lab.call("ask", ask(json!({})), &["filesystem write /workspace"]).await;
    assert!(matches!(&report.outcome, Outcome::NotGranted { capability, .. } if capability.to_string() == "question"));
    assert_eq!(refused(&report), ["question"]);
    let lowered = Lab::with(guest("asks-rust", Some(r#"{"capabilities":["tool x"]}"#)));
    assert_eq!(lowered.call("ask", ask(json!({})), ASK).await.outcome.word(), "not_granted");

    let long = lab.call("ask", ask(json!({ "words_times": 1_000, "choices": ["c".repeat(1_000)] })), ASK).await;
    let Outcome::NeedsInput { question, choices, .. } = long.outcome else { panic!("{:?}", long.outcome) };
    assert_eq!((question.chars().count(), choices[0].chars().count()), (500, 120));
    faulted(&lab.call("ask", ask(json!({ "words": " \n" })), ASK).await, "without words");
    faulted(&lab.call("ask", ask(json!({ "choices": vec!["c"; 17] })), ASK).await, "17 choices");
    faulted(&lab.call("ask", ask(json!({ "state_times": (64 << 10) + 1 })), ASK).await, "65537 bytes");
    let most = lab.call("ask", ask(json!({ "choices": vec!["c"; 16], "state_times": 64 << 10 })), ASK).await;
    assert_eq!(most.outcome.word(), "needs_input");
}
