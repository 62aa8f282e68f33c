//! The edge: the tool as the component model sees it. The host has checked the arguments against `tools.json`.

use crate::count::{Counts, count};
use exports::harness::tool::tool::{Guest, Outcome};
use harness::tool::types::{ErrorKind, Failure, Part};
use serde_json::{Value, json};

wit_bindgen::generate!({ path: "wit/tool", world: "tool-component" });

const TOOLS: &[u8] = include_bytes!("../tools.json");
const MANIFEST: &[u8] = include_bytes!("../manifest.json");

/// Where a host reads which tools there are, without running anything.
#[used]
#[unsafe(link_section = "harness:tools")]
static TOOLS_SECTION: [u8; TOOLS.len()] = *include_bytes!("../tools.json");

/// Where it reads what they could ever be granted.
#[used]
#[unsafe(link_section = "harness:manifest")]
static MANIFEST_SECTION: [u8; MANIFEST.len()] = *include_bytes!("../manifest.json");

struct Component;

impl Guest for Component {
    /// Called for each call, in a fresh instance.
    fn call(name: String, arguments: String) -> Outcome {
        if name != "{{snake}}" {
            return failed(ErrorKind::Unsupported, format!("there is no tool {name}"));
        }
        let arguments: Value = match serde_json::from_str(&arguments) {
            Ok(arguments) => arguments,
            Err(error) => return failed(ErrorKind::InvalidArguments, error.to_string()),
        };
        let Counts { lines, words, bytes } = count(arguments["text"].as_str().unwrap_or_default());
        let counted = json!({ "lines": lines, "words": words, "bytes": bytes });
        Outcome::Returned(vec![Part::Json(counted.to_string())])
    }
}

fn failed(kind: ErrorKind, message: String) -> Outcome {
    Outcome::Failed(Failure { kind, code: String::new(), message, retryable: false })
}

export!(Component);
