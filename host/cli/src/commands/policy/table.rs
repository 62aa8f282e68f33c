//! A judged call as a table for people.
//!
//! Promise: every voice is shown with what came of it; words of components and files are cleaned and cut.

use super::explain::{Judged, Place};
use crate::commands::print_text;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::paint::one_line;
use harness_core::verdict::{Silence, Standing, Voice};
use harness_core::{ApproveMode, VerdictKind};

/// Words of a voice, of arguments and of a command are shown up to this many characters.
const WORDS_CHARS_MAX: usize = 300;

/// Prints it.
pub(super) fn print(judged: &Judged) -> Result<Exit, Failure> {
    let cut = |text: &str| one_line(text, WORDS_CHARS_MAX);
    let mut text = vec![format!("{} {}", judged.tool, cut(&judged.arguments))];
    text.push(format!("mode {}, approve {}", judged.mode, approve(judged.approve)));
    for change in judged.staged.iter().flat_map(|staged| staged.entries()) {
        text.push(format!("changes {}", cut(&change.path)));
    }
    match &judged.line {
        None => {}
        Some(Ok(commands)) => {
            text.push("commands found:".to_owned());
            text.extend(commands.iter().map(|command| format!("  {}", cut(command))));
        }
        Some(Err(why)) => text.push(cut(why)),
    }
    let verdict = &judged.explanation.verdict;
    text.push(format!("\n{}, by {}: {}\n", kind(verdict.kind), verdict.rule, cut(&verdict.words)));
    let mut rows: Vec<[String; 5]> = vec![["", "says", "voice", "rule", "why"].map(str::to_owned)];
    for heard in &judged.explanation.heard {
        let place = judged.places.get(&heard.said.rule).filter(|_| heard.said.voice == Voice::User).map(place);
        let words = match place {
            Some(place) => format!("{} ({place})", heard.said.words),
            None => heard.said.words.clone(),
        };
        rows.push([
            standing(heard.standing, verdict.kind).to_owned(),
            kind(heard.said.kind).to_owned(),
            voice(heard.said.voice).to_owned(),
            cut(&heard.said.rule),
            cut(&words),
        ]);
    }
    text.extend(aligned(&rows));
    for silent in &judged.explanation.silent {
        let at = judged.places.get(&silent.rule).map(|it| format!(" ({})", place(it))).unwrap_or_default();
        text.push(format!("silent: {}, {}{at}", cut(&silent.rule), silence(silent.why)));
    }
    if let Some(rule) = &judged.abstains {
        text.push(format!("abstains: {}, the mode leaves it to the other voices", cut(rule)));
    }
    if let Some(narrowed) = &judged.narrowed {
        text.push(format!("it would run with: {}", cut(narrowed)));
    }
    if judged.is_judged_again && verdict.kind != VerdictKind::Deny {
        text.push("What it changes is judged once it is known: --staged PATH shows how.".to_owned());
    }
    print_text(&text.join("\n"))
}

/// Columns as wide as their widest cell, the last one as it is.
fn aligned(rows: &[[String; 5]]) -> Vec<String> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn place(place: &Place) -> String {
    match place.line {
        Some(line) => format!("{}:{line}", place.source),
        None => place.source.clone(),
    }
}

fn standing(standing: Standing, verdict: VerdictKind) -> &'static str {
    match (standing, verdict) {
        (Standing::Wins, _) => "counts",
        (Standing::Agrees, _) => "agrees",
        (Standing::Answered, _) => "yields: you answered it before",
        (Standing::AllowedByPerson, _) => "yields: you allow it",
        (Standing::Outranked, VerdictKind::Deny) => "yields: any deny is final",
        (Standing::Outranked, VerdictKind::Ask) => "yields: an ask comes first",
        (Standing::Outranked, VerdictKind::Allow) => "yields: the default comes last",
    }
}

fn kind(kind: VerdictKind) -> &'static str {
    match kind {
        VerdictKind::Allow => "allow",
        VerdictKind::Ask => "ask",
        VerdictKind::Deny => "deny",
    }
}

fn voice(voice: Voice) -> &'static str {
    match voice {
        Voice::Boundary => "boundary",
        Voice::User => "you",
        Voice::Mode => "mode",
        Voice::Allowance => "allowance",
        Voice::Trust => "trust",
        Voice::Default => "default",
    }
}

fn silence(why: Silence) -> &'static str {
    match why {
        Silence::OtherTool => "about another tool",
        Silence::OtherArguments => "about other arguments, or not about all of them",
        Silence::NothingChangesYet => "about changes, and nothing changes yet",
    }
}

fn approve(approve: ApproveMode) -> &'static str {
    match approve {
        ApproveMode::None => "none",
        ApproveMode::Ask => "ask",
        ApproveMode::Edits => "edits",
        ApproveMode::All => "all",
    }
}
