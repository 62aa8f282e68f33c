//! A guest that attacks with what a host lends: it does the `steps` of its arguments, one after the other, and tells
//! what came of each on a line of its own. With `"hide"` a step that failed is told as if nothing was wrong, and the
//! next one follows.

mod fetch;

use harness::host::{kv, log};
use harness::tool::types::{ErrorKind, Failure, Outcome, Part};
use serde_json::Value;
use std::time::Duration;

wit_bindgen::generate!({
    path: ["../../../wit/tool", "../../../wit/host"],
    inline: "
        package test:guest;
        world hostile {
            import harness:host/log@0.1.0;
            import harness:host/kv@0.1.0;
            export harness:tool/tool@0.1.0;
        }
    ",
    world: "test:guest/hostile",
    generate_all,
});

const DECLARATION: &[u8] = include_bytes!("../tool.json");

// Where a host reads what this component offers without running it.
#[used]
#[unsafe(link_section = "harness:tools")]
static SECTION: [u8; DECLARATION.len()] = *include_bytes!("../tool.json");

pub(crate) type Told = Result<String, String>;

/// An argument as text; empty where there is none.
pub(crate) fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments[name].as_str().unwrap_or_default()
}

/// How often; once where nothing is said.
pub(crate) fn times(arguments: &Value, name: &str) -> usize {
    arguments[name].as_u64().map_or(1, |times| times as usize)
}

pub(crate) fn debug(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// One step, named by the field that it has: `url`, `key`, `sleep_ms` or `words`. `random` is of this call alone.
fn step(step: &Value, random: &str) -> Told {
    if step["url"].is_string() {
        fetch::fetch(step, random)
    } else if step["key"].is_string() {
        let value = text(step, "value").repeat(times(step, "value_times"));
        kv::set(kv::Scope::Session, text(step, "key"), value.as_bytes()).map_err(debug)?;
        Ok("set".to_owned())
    } else if let Some(wait_ms) = step["sleep_ms"].as_u64() {
        std::thread::sleep(Duration::from_millis(wait_ms));
        Ok("slept".to_owned())
    } else {
        log::write(log::Level::Info, text(step, "words"));
        Ok("noted".to_owned())
    }
}

struct Component;

impl exports::harness::tool::tool::Guest for Component {
    fn call(_: String, arguments: String) -> Outcome {
        let arguments: Value = serde_json::from_str(&arguments).unwrap_or_default();
        let random = format!("{:016x}", wasip2::random::random::get_random_u64());
        let mut lines = Vec::new();
        for asked in arguments["steps"].as_array().into_iter().flatten() {
            for _ in 0..times(asked, "times") {
                match step(asked, &random) {
                    Ok(told) => lines.push(told),
                    Err(why) if arguments["hide"] == true => lines.push(why),
                    Err(message) => {
                        let code = String::new();
                        return Outcome::Failed(Failure { kind: ErrorKind::Failed, code, message, retryable: false });
                    }
                }
            }
        }
        Outcome::Returned(vec![Part::Text(lines.join("\n"))])
    }
}

export!(Component);
