//! What a person's line means as an answer: to an approval, a question, a plan.
//!
//! Promise: only what says so is a yes; an answer for later calls is one of those that were offered, with the scope and
//! the end that the line names.
//!
//! Not here: asking (`ask`, `plan`), what may be answered (harness-core).

use harness_core::event::{Answer, AnswerCoverage, PlanAnswer};
use harness_core::state::{Offer, OfferKind};
use harness_core::{Scope, TimeMs};

/// The scopes that a person can name.
const SCOPES: [Scope; 5] = [Scope::Turn, Scope::Session, Scope::Workspace, Scope::Agent, Scope::Global];

/// A line that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The answer.
    Answer(Answer),
    /// The arguments are to be edited first.
    Edit,
    /// The pattern of this answer is to be edited first.
    EditPattern(Answer),
}

/// The word of an offer for people.
pub(crate) const fn letter(kind: OfferKind) -> &'static str {
    match kind {
        OfferKind::Once => "y",
        OfferKind::Exact => "x",
        OfferKind::Pattern => "p",
        OfferKind::Tool => "t",
        OfferKind::Category => "c",
    }
}

/// What a line means; why it is no answer otherwise.
pub(crate) fn parse(line: &str, offers: &[Offer], can_edit: bool, now: TimeMs) -> Result<Said, String> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let kind = match word.to_ascii_lowercase().as_str() {
        "y" | "yes" if rest.is_empty() => return Ok(Said::Answer(Answer::Yes)),
        "n" | "no" => return Ok(Said::Answer(Answer::No { reason: rest.to_owned() })),
        "e" | "edit" if !can_edit => return Err("this call cannot be run with other arguments any more".to_owned()),
        "e" | "edit" if rest.is_empty() => return Ok(Said::Edit),
        "e" | "edit" => return Ok(Said::Answer(Answer::Edited { arguments: rest.to_owned() })),
        "x" | "exact" => OfferKind::Exact,
        "p" | "pattern" => OfferKind::Pattern,
        "t" | "tool" | "always" => OfferKind::Tool,
        "c" | "category" => OfferKind::Category,
        _ => {
            return Err(
                "please answer y (yes), n (no), n and a reason, or one of the letters that are offered".to_owned()
            );
        }
    };
    let Some(offer) = offers.iter().find(|offer| offer.kind == kind) else {
        return Err(
            "that is not offered here: what a boundary or a component asks is allowed once at a time".to_owned()
        );
    };
    let Answer::Allow { coverage, scope, until } = &offer.answer else { return Ok(Said::Answer(offer.answer.clone())) };
    let (mut coverage, mut scope, mut until) = (coverage.clone(), *scope, *until);
    let (words, pattern) = rest.find('{').map_or((rest, None), |at| {
        let (words, pattern) = rest.split_at(at);
        (words, Some(pattern))
    });
    for word in words.split_whitespace() {
        match (SCOPES.iter().find(|scope| scope.word() == word), duration_ms(word)) {
            (Some(named), _) => scope = *named,
            (None, Some(duration_ms)) => until = Some(TimeMs(now.0.saturating_add(duration_ms))),
            (None, None) => {
                return Err(format!(
                    "after the letter comes how far (turn, session, workspace, agent, global) and how long (30m, 2h, 7d), not `{}`",
                    crate::paint::one_line(word, 40)
                ));
            }
        }
    }
    if let (OfferKind::Pattern, Some(text)) = (kind, pattern) {
        coverage = pattern_of(text)?;
        return Ok(Said::Answer(Answer::Allow { coverage, scope, until }));
    }
    let answer = Answer::Allow { coverage, scope, until };
    Ok(if kind == OfferKind::Pattern { Said::EditPattern(answer) } else { Said::Answer(answer) })
}

/// A pattern as it is written in an answer: the JSON of a rule's `command` and `arguments`.
pub(crate) fn pattern_of(text: &str) -> Result<AnswerCoverage, String> {
    serde_json::from_str(text).map(|pattern| AnswerCoverage::Pattern { pattern }).map_err(|error| {
        format!("that is no pattern, such as {{\"arguments\":{{\"path\":\"src/**\"}}}} or {{\"command\":[\"ls *\"]}}: {error}")
    })
}

/// A number with `m`, `h` or `d`, in milliseconds.
fn duration_ms(word: &str) -> Option<i64> {
    let unit_ms = match word.as_bytes().last()? {
        b'm' => 60_000,
        b'h' => 3_600_000,
        b'd' => 86_400_000,
        _ => return None,
    };
    let number: u32 = word.get(..word.len() - 1)?.parse().ok()?;
    // What ends at once would allow nothing.
    i64::from(number).checked_mul(unit_ms).filter(|duration_ms| *duration_ms > 0)
}

/// What a line says to a plan; none where it says neither yes nor no. A word after yes is the mode to go on in.
pub(crate) fn parse_plan(line: &str) -> Option<PlanAnswer> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    match word.to_ascii_lowercase().as_str() {
        "y" | "yes" if !rest.contains(char::is_whitespace) => {
            Some(PlanAnswer::Approve { mode: (!rest.is_empty()).then(|| rest.to_owned()) })
        }
        "n" | "no" => Some(PlanAnswer::Reject { feedback: rest.to_owned() }),
        _ => None,
    }
}

/// The choice that a line means; any line where there are none. Of several, separated by commas, each once.
pub(crate) fn chosen(line: &str, choices: &[String], several: bool) -> Option<String> {
    let one = |line: &str| {
        let numbered = line.parse::<usize>().ok().and_then(|number| choices.get(number.checked_sub(1)?));
        // A choice that looks like a number is meant by its words first.
        choices.iter().find(|choice| choice.as_str() == line).or(numbered).cloned()
    };
    if choices.is_empty() {
        return Some(line.to_owned());
    }
    if !several {
        return one(line);
    }
    // A choice may have a comma of its own.
    if let Some(choice) = one(line) {
        return Some(choice);
    }
    let mut found: Vec<String> = Vec::new();
    for part in line.split(',') {
        let choice = one(part.trim())?;
        if !found.contains(&choice) {
            found.push(choice);
        }
    }
    Some(found.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers() -> Vec<Offer> {
        let allow = |coverage| Answer::Allow { coverage, scope: Scope::Session, until: None };
        let offer = |kind, answer| Offer { kind, words: String::new(), answer };
        vec![
            offer(OfferKind::Once, Answer::Yes),
            offer(OfferKind::Exact, allow(AnswerCoverage::Exact)),
            offer(OfferKind::Pattern, allow(pattern_of(r#"{"arguments":{"path":"src/**"}}"#).unwrap())),
            offer(OfferKind::Tool, allow(AnswerCoverage::Tool)),
        ]
    }

    fn said(line: &str) -> Result<Said, String> {
        parse(line, &offers(), true, TimeMs(1_000))
    }

    fn tool(scope: Scope, until: Option<i64>) -> Result<Said, String> {
        let answer = Answer::Allow { coverage: AnswerCoverage::Tool, scope, until: until.map(TimeMs) };
        Ok(Said::Answer(answer))
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        assert_eq!(said(" y "), Ok(Said::Answer(Answer::Yes)));
        assert_eq!(said("YES"), Ok(Said::Answer(Answer::Yes)));
        assert_eq!(said("n use tabs"), Ok(Said::Answer(Answer::No { reason: "use tabs".into() })));
        assert_eq!(said("no"), Ok(Said::Answer(Answer::No { reason: String::new() })));
        for unclear in ["", "yes but", "ok", "yep", "all", "t forever", "t 5", "t 0m", "t -1h", "c"] {
            assert!(said(unclear).is_err(), "{unclear}");
        }
    }

    #[test]
    fn later_calls_are_allowed_as_far_and_as_long_as_said() {
        assert_eq!(said("t"), tool(Scope::Session, None));
        assert_eq!(said("t workspace 2h"), tool(Scope::Workspace, Some(7_201_000)));
        assert_eq!(said("t 1m turn"), tool(Scope::Turn, Some(61_000)));
        let edited = said(r#"p global {"arguments":{"path":"src/a/**"}}"#);
        let coverage = pattern_of(r#"{"arguments":{"path":"src/a/**"}}"#).unwrap();
        assert_eq!(edited, Ok(Said::Answer(Answer::Allow { coverage, scope: Scope::Global, until: None })));
        assert!(matches!(said("p"), Ok(Said::EditPattern(_))));
        assert!(said("p {").is_err());
    }

    #[test]
    fn arguments_are_edited_where_they_can_be() {
        assert_eq!(said("e"), Ok(Said::Edit));
        assert_eq!(said("e {\"a\": 1}"), Ok(Said::Answer(Answer::Edited { arguments: "{\"a\": 1}".into() })));
        assert!(parse("e", &offers(), false, TimeMs(0)).is_err());
    }

    #[test]
    fn a_plan_is_approved_into_a_mode_or_rejected_with_words() {
        let approve = |mode: Option<&str>| Some(PlanAnswer::Approve { mode: mode.map(str::to_owned) });
        assert_eq!(parse_plan("y"), approve(None));
        assert_eq!(parse_plan("yes auto"), approve(Some("auto")));
        assert_eq!(parse_plan("n smaller steps"), Some(PlanAnswer::Reject { feedback: "smaller steps".into() }));
        assert_eq!(parse_plan("yes but smaller"), None);
        assert_eq!(parse_plan(""), None);
    }

    #[test]
    fn a_choice_is_meant_by_its_words_or_its_number() {
        let choices = ["red", "2", "green", "a, b"].map(str::to_owned);
        assert_eq!(chosen("1", &choices, false).as_deref(), Some("red"));
        assert_eq!(chosen("2", &choices, false).as_deref(), Some("2"));
        assert_eq!(chosen("green", &choices, false).as_deref(), Some("green"));
        for unclear in ["0", "5", "blue", "-1", "red, green"] {
            assert_eq!(chosen(unclear, &choices, false), None, "{unclear}");
        }
        assert_eq!(chosen("anything", &[], true).as_deref(), Some("anything"));
        assert_eq!(chosen("3, red,1", &choices, true).as_deref(), Some("green\nred"));
        assert_eq!(chosen("a, b", &choices, true).as_deref(), Some("a, b"));
        assert_eq!(chosen("red, blue", &choices, true), None);
    }
}
