//! A guest that tries everything a host may lend: each tool uses one capability as its arguments say and
//! tells what came of it. With `"hide"` a failure is told as a success.

mod fetch;
mod files;

use harness::host::{kv, log, progress, secrets};
use harness::tool::types::{ErrorKind, Failure, Outcome, Part};
use serde_json::Value;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

wit_bindgen::generate!({
    path: ["../../../wit/tool", "../../../wit/host"],
    inline: "
        package test:guest;
        world caps {
            import harness:host/log@0.1.0;
            import harness:host/progress@0.1.0;
            import harness:host/kv@0.1.0;
            import harness:host/secrets@0.1.0;
            export harness:tool/tool@0.1.0;
        }
    ",
    world: "test:guest/caps",
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

pub(crate) fn number(arguments: &Value, name: &str) -> Option<u64> {
    arguments[name].as_u64()
}

fn debug(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn times(arguments: &Value) -> u64 {
    number(arguments, "times").unwrap_or(1)
}

/// Random bytes, as the standard library gets them too.
fn chance() -> String {
    let bytes = wasip2::random::random::get_random_bytes(16);
    let seed = wasip2::random::insecure_seed::insecure_seed();
    format!("{bytes:02x?} {:016x} {seed:x?}", wasip2::random::random::get_random_u64())
}

fn clock(arguments: &Value) -> String {
    let began = Instant::now();
    let mut seen = Vec::new();
    for _ in 0..times(arguments) {
        seen.push(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis());
        std::thread::sleep(Duration::from_millis(number(arguments, "pause_ms").unwrap_or(0)));
    }
    format!("{seen:?} {}", began.elapsed().as_millis())
}

fn use_kv(arguments: &Value) -> Told {
    let scope = match text(arguments, "scope") {
        "principal" => kv::Scope::Principal,
        "agent" => kv::Scope::Agent,
        "global" => kv::Scope::Global,
        _ => kv::Scope::Session,
    };
    let mut told = Vec::new();
    for step in arguments["steps"].as_array().into_iter().flatten() {
        let key = text(step, "key").repeat(number(step, "key_times").unwrap_or(1) as usize);
        told.push(match text(step, "do") {
            "set" => {
                let value = text(step, "value").repeat(number(step, "value_times").unwrap_or(1) as usize);
                kv::set(scope, &key, value.as_bytes()).map(|()| "set".to_owned()).map_err(debug)?
            }
            "delete" => kv::delete(scope, &key).map(|()| "deleted".to_owned()).map_err(debug)?,
            "keys" => kv::keys(scope, &key, step["after"].as_str()).map_err(debug)?.join(","),
            _ => match kv::get(scope, &key).map_err(debug)? {
                Some(value) => String::from_utf8_lossy(&value).into_owned(),
                None => "none".to_owned(),
            },
        });
    }
    Ok(told.join(" "))
}

fn note(arguments: &Value) -> String {
    for number in 0..times(arguments) {
        log::write(log::Level::Info, &format!("{} {number}", text(arguments, "words")));
    }
    print!("{}", text(arguments, "out"));
    // It is kept back until a line ends, and nothing ends here.
    let _ = std::io::stdout().flush();
    eprint!("{}", text(arguments, "err"));
    "noted".to_owned()
}

fn report(arguments: &Value) -> String {
    for number in 1..=times(arguments) {
        progress::report(text(arguments, "words"), u16::try_from(number).ok());
    }
    "reported".to_owned()
}

fn secret(arguments: &Value) -> Told {
    let names = secrets::names().join(",");
    let placeholder = secrets::placeholder(text(arguments, "name")).map_err(debug)?;
    Ok(format!("{names} {placeholder}"))
}

/// Everything that has to come out the same when a call is run again.
fn mix(arguments: &Value) -> Told {
    let path = text(arguments, "path");
    let mut map = std::collections::HashMap::new();
    for number in 0..20 {
        map.insert(number, chance());
    }
    // In the order of a map whose hashes are seeded at random.
    let order: Vec<i32> = map.keys().copied().collect();
    let told = format!("{order:?} {} {}", map[&7], clock(arguments));
    std::fs::write(path, &told).map_err(debug)?;
    Ok(told)
}

fn run(name: &str, arguments: &Value) -> Told {
    match name {
        "change" => files::change(arguments),
        "chance" => Ok(chance()),
        "clock" => Ok(clock(arguments)),
        "mix" => mix(arguments),
        "env" => Ok(std::env::vars().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";")),
        "fetch" => fetch::fetch(arguments),
        "kv" => use_kv(arguments),
        "list" => files::list(arguments),
        "note" => Ok(note(arguments)),
        "read" => std::fs::read_to_string(text(arguments, "path")).map_err(debug),
        "report" => Ok(report(arguments)),
        "secret" => secret(arguments),
        _ => Err("as asked".to_owned()),
    }
}

struct Component;

impl exports::harness::tool::tool::Guest for Component {
    fn call(name: String, arguments: String) -> Outcome {
        let arguments: Value = serde_json::from_str(&arguments).unwrap_or_default();
        match run(&name, &arguments) {
            Ok(told) => Outcome::Returned(vec![Part::Text(told)]),
            Err(why) if arguments["hide"] == true => Outcome::Returned(vec![Part::Text(why)]),
            Err(message) => {
                Outcome::Failed(Failure { kind: ErrorKind::Failed, code: String::new(), message, retryable: false })
            }
        }
    }
}

export!(Component);
