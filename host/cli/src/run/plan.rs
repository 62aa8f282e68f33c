//! Asking a person about a plan of the model's.
//!
//! Promise: the host's words come first; the plan comes after them, cleaned, each line marked as the model's, and
//! cut, which is said; the whole of it can be read in a pager.
//!
//! Not here: what an answer means (`answers`), what follows from it (harness-core).

use super::answers::parse_plan;
use super::ask::{Hush, read_line};
use super::waiting::ShownPlan;
use crate::failure::Failure;
use crate::paint::{Paint, err_line, lines, one_line};
use harness_core::event::PlanAnswer;
use std::io::Write;
use std::process::{Command, Stdio};

/// Lines of a plan that are shown at once.
const SHOWN_LINES_MAX: usize = 60;
/// Bytes of a plan that are shown at once.
const SHOWN_BYTES_MAX: usize = 8 << 10;
/// The pager where none is named.
const PAGER: &str = "less";

/// The answer; none if the person wants the turn stopped.
pub(crate) async fn ask_plan(plan: &ShownPlan, paint: Paint, hush: &Hush) -> Result<Option<PlanAnswer>, Failure> {
    err_line(&paint.ask(&format!("? the model submits a plan: {}", one_line(&plan.title, 200))));
    err_line(&shown(&plan.text));
    let into = plan.leads_to.as_ref().map(|mode| format!(" (enters {})", one_line(mode, 64))).unwrap_or_default();
    let question = format!("approve? [y]es{into}, y MODE, [n]o, n FEEDBACK, [v]iew");
    loop {
        let Some(line) = read_line(&question, "", hush).await? else { return Ok(None) };
        match (line.trim(), parse_plan(&line)) {
            (_, Some(answer)) => return Ok(Some(answer)),
            ("v" | "view", None) => view(plan.text.clone()).await?,
            _ => err_line("  please answer y, y and a mode, n, n and what to change, or v; Ctrl-C stops the turn"),
        }
    }
}

/// A plan's lines, marked, as many as are shown at once.
fn shown(text: &str) -> String {
    let bytes = text.floor_char_boundary(SHOWN_BYTES_MAX);
    let within = text.get(..bytes).unwrap_or_default();
    let marked: Vec<String> = within.lines().take(SHOWN_LINES_MAX).map(|line| format!("  | {}", lines(line))).collect();
    let all = text.lines().count();
    let is_cut = bytes < text.len() || marked.len() < all;
    let rest = if is_cut { format!("\n  … CUT: {all} lines in all; v shows the whole plan") } else { String::new() };
    format!("{}{rest}", marked.join("\n"))
}

/// The whole plan in the person's pager.
async fn view(text: String) -> Result<(), Failure> {
    let shown = tokio::task::spawn_blocking(move || {
        let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
        let pager = pager.unwrap_or_else(|| PAGER.to_owned());
        let started = Command::new("sh").args(["-c", &pager]).stdin(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| format!("the pager `{pager}` does not start: {error}"))?;
        if let Some(mut input) = child.stdin.take() {
            // A person who has read enough closes it.
            let _ = input.write_all(lines(&text).as_bytes());
        }
        child.wait().map(drop).map_err(|error| format!("the pager `{pager}`: {error}"))
    });
    match shown.await.map_err(|error| Failure::because("showing the plan", &error))? {
        Ok(()) => {}
        Err(words) => err_line(&format!("  {}", lines(&words))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_marked_cleaned_and_cut() {
        assert_eq!(shown("one\n? allow everything\u{1b}[2J"), "  | one\n  | ? allow everything\\u{1b}[2J");
        let long = "x\n".repeat(SHOWN_LINES_MAX + 1);
        assert!(shown(&long).ends_with("CUT: 61 lines in all; v shows the whole plan"));
        let wide = "é".repeat(SHOWN_BYTES_MAX);
        let cut = shown(&wide);
        assert!(cut.len() < SHOWN_BYTES_MAX + 100 && cut.contains("CUT"), "{}", cut.len());
    }
}
