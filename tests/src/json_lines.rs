//! What every `run --json` promises: each line one JSON object, events without gaps, one end, at the end.

use serde_json::Value;

/// The lines of a run.
#[derive(Debug, Clone)]
pub struct JsonRun {
    /// The events, in order.
    pub events: Vec<Value>,
    /// The `run_ended` line.
    pub end: Value,
}

/// Reads and checks the output of a run that ended by itself.
///
/// # Errors
/// What is wrong, with the line.
pub fn read(stdout: &str) -> Result<JsonRun, String> {
    if !stdout.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut lines = Vec::new();
    for line in stdout.lines() {
        lines.push(serde_json::from_str::<Value>(line).map_err(|error| format!("no JSON ({error}): {line}"))?);
    }
    let end = lines.pop().ok_or("there is no line")?;
    if end["kind"] != "run_ended" {
        return Err(format!("the last line is no run_ended: {end}"));
    }
    if lines.iter().any(|line| line["kind"] == "run_ended") {
        return Err("run_ended comes twice".to_owned());
    }
    if !end["exit_code"].is_u64() || !end["result"].is_string() {
        return Err(format!("run_ended does not say how: {end}"));
    }
    check_sequence(&lines)?;
    Ok(JsonRun { events: lines, end })
}

/// Reads what a killed run had printed: its whole lines.
///
/// # Errors
/// What is wrong, with the line.
pub fn read_killed(stdout: &str) -> Result<Vec<Value>, String> {
    let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
    let mut lines = Vec::new();
    for line in whole.lines() {
        let line: Value = serde_json::from_str(line).map_err(|error| format!("no JSON ({error}): {line}"))?;
        if line["kind"] != "run_ended" {
            lines.push(line);
        }
    }
    check_sequence(&lines)?;
    Ok(lines)
}

/// Events of one session follow each other.
///
/// # Errors
/// Where they do not.
pub fn check_sequence(events: &[Value]) -> Result<(), String> {
    for event in events {
        if event["event"]["kind"] != event["kind"] || !event["sequence"].is_u64() {
            return Err(format!("header and event disagree: {event}"));
        }
    }
    for pair in events.windows(2) {
        if pair[0]["session"] != pair[1]["session"]
            || pair[0]["sequence"].as_u64().map(|n| n + 1) != pair[1]["sequence"].as_u64()
        {
            return Err(format!("a gap between {} and {}", pair[0]["sequence"], pair[1]["sequence"]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64) -> String {
        format!("{{\"session\":\"s\",\"sequence\":{sequence},\"kind\":\"k\",\"event\":{{\"kind\":\"k\"}}}}\n")
    }

    const END: &str = "{\"kind\":\"run_ended\",\"exit_code\":0,\"result\":\"done\"}\n";

    #[test]
    fn gaps_and_wrong_ends_are_found() {
        assert_eq!(read(&format!("{}{}{END}", event(4), event(5))).unwrap().events.len(), 2);
        for wrong in [
            String::new(),
            event(1),
            format!("{}{}{END}", event(1), event(3)),
            format!("{}{}{END}", event(1), event(1)),
            format!("{END}{END}"),
            format!("{END}{}", event(1)),
            format!("note\n{END}"),
            END.trim_end().to_owned(),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        let killed = format!("{}{}{}", event(1), event(2), &event(3)[..20]);
        assert_eq!(read_killed(&killed).unwrap().len(), 2, "half a line promises nothing");
    }
}
