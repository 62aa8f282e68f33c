//! The user's rules on tool calls.
//!
//! Promise: rules of all layers hold together, each with an id of its own. A rule whose patterns cannot be read, or that
//! does not judge its own examples as they say, is a problem of the configuration.
//!
//! Not here: judging calls, and what wins when rules disagree (the core's verdicts).

use crate::layer::Layer;
use crate::problem::{Fault, Problem};
use crate::raw::RawRule;
use crate::source::{Source, Sourced};
use crate::words::{Category, RuleVerdict};
use harness_core::VerdictKind;
use harness_core::pattern::ArgumentPattern;
use harness_core::verdict::{Example, RuleLayer, test_examples};
use serde::Serialize;
use std::collections::BTreeMap;

/// Patterns, and examples of each kind, that one rule has.
const RULE_PATTERNS_MAX: usize = 64;

/// A verdict on the calls that it covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Name of the rule in logs and answers; unique.
    pub id: String,
    /// The tool's exact name; none for all tools.
    pub tool: Option<String>,
    /// The kind of thing the tool does; none for all kinds.
    pub category: Option<Category>,
    /// What is said of the calls.
    pub verdict: RuleVerdict,
    /// Why, in words for the person and the model.
    pub reason: Option<String>,
    /// The arguments it is about.
    #[serde(flatten)]
    pub patterns: ArgumentPattern,
    /// What it is meant to match, or not.
    #[serde(skip)]
    pub examples: Vec<Example>,
    /// The line of its file, from 1, where it is of a file.
    #[serde(skip)]
    pub line: Option<usize>,
}

impl Rule {
    /// Whether the rule is about calls of this tool.
    pub fn covers(&self, tool: &str, category: Category) -> bool {
        self.tool.as_deref().is_none_or(|named| named == tool) && self.category.is_none_or(|named| named == category)
    }

    /// The rule as it is judged by.
    pub fn to_core(&self, source: &Source) -> harness_core::verdict::Rule {
        harness_core::verdict::Rule {
            id: self.id.clone(),
            tool: self.tool.clone(),
            category: self.category.map(core_category),
            verdict: match self.verdict {
                RuleVerdict::Allow => VerdictKind::Allow,
                RuleVerdict::Ask => VerdictKind::Ask,
                RuleVerdict::Deny => VerdictKind::Deny,
            },
            reason: self.reason.clone().unwrap_or_else(|| format!("rule {} says so.", self.id)),
            arguments: self.patterns.clone(),
            layer: match source {
                Source::Machine(_) => Some(RuleLayer::Machine),
                Source::User(_) => Some(RuleLayer::User),
                Source::Project(_) => Some(RuleLayer::Project),
                Source::BuiltIn | Source::Environment(_) | Source::Flag(_) => None,
            },
        }
    }
}

fn core_category(category: Category) -> harness_core::item::Category {
    use harness_core::item::Category as Core;
    match category {
        Category::Read => Core::Read,
        Category::Edit => Core::Edit,
        Category::Execute => Core::Execute,
        Category::Network => Core::Network,
        Category::Other => Core::Other,
    }
}

/// A rule as it was written, without what cannot be read, which is told by key.
fn read_rule(raw: &RawRule, faults: &mut Vec<(String, Fault)>) -> Rule {
    let id = raw.id.clone().unwrap_or_default();
    let mut patterns = ArgumentPattern::default();
    let bad = |key: String, error: harness_core::pattern::ParsePatternError| {
        (key, Fault::BadPattern { message: error.to_string() })
    };
    for (index, text) in raw.command.iter().enumerate() {
        match text.parse() {
            Ok(pattern) => patterns.command.push(pattern),
            Err(error) => faults.push(bad(format!("command[{}]", index + 1), error)),
        }
    }
    for (name, text) in &raw.arguments {
        match text.parse() {
            Ok(glob) => {
                patterns.arguments.insert(name.clone(), glob);
            }
            Err(error) => faults.push(bad(crate::check::join("arguments", name), error)),
        }
    }
    let example = |matches| {
        let id = id.clone();
        move |text: &String| Example { rule: id.clone(), text: text.clone(), matches }
    };
    let examples = raw.matches.iter().map(example(true)).chain(raw.matches_not.iter().map(example(false))).collect();
    Rule {
        tool: raw.tool.clone().filter(|tool| tool != "*"),
        category: raw.category,
        verdict: raw.verdict,
        reason: raw.reason.clone(),
        id,
        patterns,
        examples,
        line: raw.line,
    }
}

/// What is wrong with a rule's patterns and examples, by key.
pub(crate) fn pattern_faults(raw: &RawRule) -> Vec<(String, Fault)> {
    let counts = [
        ("command", raw.command.len()),
        ("arguments", raw.arguments.len()),
        ("matches", raw.matches.len()),
        ("matches-not", raw.matches_not.len()),
    ];
    let too_many = counts.iter().filter(|(_, count)| *count > RULE_PATTERNS_MAX).map(|(key, count)| {
        let (min, max, found) = ("0".to_owned(), RULE_PATTERNS_MAX.to_string(), count.to_string());
        ((*key).to_owned(), Fault::OutOfRange { unit: " entries", min, max, found })
    });
    let mut faults: Vec<(String, Fault)> = too_many.collect();
    if !faults.is_empty() {
        return faults;
    }
    let rule = read_rule(raw, &mut faults);
    if !faults.is_empty() {
        return faults; // Its examples would say of a rule that is not there.
    }
    let judged = rule.to_core(&Source::BuiltIn);
    for fault in test_examples(&[judged], &rule.examples) {
        let (key, texts) =
            if fault.example.matches { ("matches", &raw.matches) } else { ("matches-not", &raw.matches_not) };
        let index = texts.iter().position(|text| *text == fault.example.text).unwrap_or_default();
        faults.push((format!("{key}[{}]", index + 1), Fault::Example { message: fault.to_string() }));
    }
    faults
}

/// Names the rules that have no id, by their layer and number in it. This comes before anything is
/// withheld, so that a rule has the same name whether or not its project is trusted.
pub(crate) fn name_rules(layers: &mut [Layer]) {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for layer in layers {
        let count = counts.entry(layer.source.layer_name()).or_default();
        let lines: Vec<Option<usize>> =
            (1..=layer.raw.rules.len()).map(|number| layer.line(&format!("rules[{number}]"))).collect();
        for (rule, line) in layer.raw.rules.iter_mut().zip(lines) {
            rule.line = line;
            *count += 1;
            let name = || format!("{}-{count}", layer.source.layer_name());
            rule.id.get_or_insert_with(name);
        }
    }
}

/// All rules, weakest layer first.
pub(crate) fn resolve_rules(layers: &[Layer], problems: &mut Vec<Problem>) -> Vec<Sourced<Rule>> {
    let mut first_uses: BTreeMap<String, Source> = BTreeMap::new();
    let mut rules = Vec::new();
    for layer in layers {
        for (index, raw) in layer.raw.rules.iter().enumerate() {
            let id = raw.id.clone().unwrap_or_default();
            if let Some(first) = first_uses.insert(id.clone(), layer.source.clone()) {
                let fault = Fault::DuplicateRule { id: id.clone(), first };
                problems.push(layer.problem(&format!("rules[{}]", index + 1), fault));
            }
            // What cannot be read was told when the layer was checked.
            let rule = read_rule(raw, &mut Vec::new());
            rules.push(Sourced::new(rule, layer.source.clone()));
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_covers_what_both_its_tool_and_category_name() {
        let rule = |tool: Option<&str>, category| Rule {
            id: "r".into(),
            tool: tool.map(str::to_owned),
            category,
            verdict: RuleVerdict::Ask,
            reason: None,
            patterns: ArgumentPattern::default(),
            examples: Vec::new(),
            line: None,
        };
        assert!(rule(None, Some(Category::Edit)).covers("write_file", Category::Edit));
        assert!(!rule(None, Some(Category::Edit)).covers("read_file", Category::Read));
        assert!(rule(Some("read_file"), None).covers("read_file", Category::Read));
        assert!(!rule(Some("read_file"), Some(Category::Edit)).covers("read_file", Category::Read));
    }
}
