//! A guest whose tools need something before they can go on: an answer, another tool's outcome.

use exports::harness::tool::resumable::{
    Guest, Need, NeedAndState, OtherCall, OtherOutcome, Outcome, Progress, Question, Reply, Resumed,
};
use harness::tool::types::Part;
use serde_json::Value;

wit_bindgen::generate!({
    path: "../../../wit/tool",
    world: "resumable-component",
});

const DECLARATION: &[u8] = include_bytes!("../tool.json");

// Where a host reads what this component offers without running it.
#[used]
#[unsafe(link_section = "harness:tools")]
static SECTION: [u8; DECLARATION.len()] = *include_bytes!("../tool.json");

fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments[name].as_str().unwrap_or_default()
}

/// A text, so many times over.
fn many(arguments: &Value, name: &str) -> String {
    let times = arguments[format!("{name}_times")].as_u64().unwrap_or(1);
    text(arguments, name).repeat(usize::try_from(times).unwrap_or(1))
}

fn needs(name: &str, arguments: &Value) -> Progress {
    // What is staged now is dropped: the call has not ended.
    let _ = std::fs::write("/workspace/asked.txt", "asked");
    let need = match name {
        "call" => {
            Need::Call(OtherCall { tool: text(arguments, "tool").to_owned(), arguments: many(arguments, "with") })
        }
        _ => {
            let choices = arguments["choices"].as_array().into_iter().flatten();
            let choices = choices.map(|choice| choice.as_str().unwrap_or_default().to_owned()).collect();
            Need::Question(Question { words: many(arguments, "words"), choices })
        }
    };
    Progress::Needs(NeedAndState { need, state: many(arguments, "state") })
}

struct Component;

impl Guest for Component {
    fn call(name: String, arguments: String, resumed: Option<Resumed>) -> Progress {
        let arguments: Value = serde_json::from_str(&arguments).unwrap_or_default();
        let Some(Resumed { state, reply }) = resumed else { return needs(&name, &arguments) };
        let reply = match reply {
            Reply::Answer(text) => format!("answer {text}"),
            Reply::Unanswered => "unanswered".to_owned(),
            Reply::Outcome(OtherOutcome { text, is_error }) => format!("outcome {text} {is_error}"),
        };
        let _ = std::fs::write("/workspace/answered.txt", &reply);
        Progress::Done(Outcome::Returned(vec![Part::Text(format!("{state}: {reply}"))]))
    }
}

export!(Component);
