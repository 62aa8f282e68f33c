//! A session's log as the program gives it out, verified here once more.

use crate::json_lines::check_sequence;
use crate::program::{Place, finish};
use harness_core::envelope::{Payload, Tip, verify};
use serde_json::Value;

/// The ids of all sessions, the earliest first.
///
/// # Panics
/// If the program does not list them.
pub fn sessions(place: &Place) -> Vec<String> {
    let listed = finish(place.program().args(["sessions", "list", "--json", "--limit", "1000"]), None);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let listed: Vec<Value> = serde_json::from_str(&listed.stdout).expect("a list");
    let mut found: Vec<(i64, String)> = listed
        .iter()
        .map(|row| (row["created"].as_i64().expect("a time"), row["session"].as_str().expect("an id").to_owned()))
        .collect();
    found.reverse();
    found.sort_by_key(|(created, _)| *created);
    found.into_iter().map(|(_, id)| id).collect()
}

/// All events of a session, without gaps from 1.
///
/// # Panics
/// If the program does not give them, or with gaps.
pub fn events(place: &Place, session: &str) -> Vec<Value> {
    let ran = finish(place.program().args(["sessions", "events", session, "--json"]), None);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let events: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    check_sequence(&events).expect("no gaps");
    assert!(events.first().is_none_or(|first| first["sequence"] == 1));
    events
}

/// Checks the chain of an export with the rules of the envelope; gives the number of events.
///
/// # Errors
/// Where the chain breaks.
pub fn verify_export(text: &str) -> Result<u64, String> {
    let mut tip = Tip::START;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        // Beside the events: the first line, contents, the end.
        let Some(header) = line["header"].as_str() else { continue };
        let header = header.as_bytes().to_vec();
        let payload = match (line["salt"].as_str(), line["payload"].as_str()) {
            (Some(salt), Some(bytes)) => Some(Payload { salt: salt_of(salt)?, bytes: bytes.as_bytes().to_vec() }),
            _ => None,
        };
        let (sealed, next) = verify(tip, header, payload).map_err(|error| error.to_string())?;
        sealed.event().map_err(|error| error.to_string())?;
        tip = next;
    }
    Ok(tip.sequence.0)
}

/// Exports a session and checks its chain, and that `sessions show` believes it.
///
/// # Errors
/// What is wrong with it.
pub fn verify_session(place: &Place, session: &str) -> Result<String, String> {
    let exported = finish(place.program().args(["sessions", "export", session]), None);
    if exported.code != Some(0) {
        return Err(format!("export ended with {:?}: {}", exported.code, exported.stderr));
    }
    verify_export(&exported.stdout)?;
    let shown = finish(place.program().args(["sessions", "show", session, "--json"]), None);
    if shown.code != Some(0) {
        return Err(format!("show ended with {:?}: {}", shown.code, shown.stderr));
    }
    Ok(exported.stdout)
}

fn salt_of(hex: &str) -> Result<[u8; 16], String> {
    let bytes: Result<Vec<u8>, _> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16)).collect();
    let bytes = bytes.map_err(|error| error.to_string())?;
    bytes.try_into().map_err(|_| "the salt is not 16 bytes".to_owned())
}
