//! The user's rules on tool calls.
//!
//! Promise: rules of all layers hold together, each with an id of its own.
//!
//! Not here: judging calls, and what wins when rules disagree (the core's verdicts).

use crate::layer::Layer;
use crate::problem::{Fault, Problem};
use crate::source::{Source, Sourced};
use crate::words::{Category, RuleVerdict};
use serde::Serialize;
use std::collections::BTreeMap;

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
}

impl Rule {
    /// Whether the rule is about calls of this tool.
    pub fn covers(&self, tool: &str, category: Category) -> bool {
        self.tool.as_deref().is_none_or(|named| named == tool) && self.category.is_none_or(|named| named == category)
    }
}

/// Names the rules that have no id, by their layer and number in it. This comes before anything is
/// withheld, so that a rule has the same name whether or not its project is trusted.
pub(crate) fn name_rules(layers: &mut [Layer]) {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for layer in layers {
        let count = counts.entry(layer.source.layer_name()).or_default();
        for rule in &mut layer.raw.rules {
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
            let rule = Rule {
                id,
                tool: raw.tool.clone().filter(|tool| tool != "*"),
                category: raw.category,
                verdict: raw.verdict,
                reason: raw.reason.clone(),
            };
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
        };
        assert!(rule(None, Some(Category::Edit)).covers("write_file", Category::Edit));
        assert!(!rule(None, Some(Category::Edit)).covers("read_file", Category::Read));
        assert!(rule(Some("read_file"), None).covers("read_file", Category::Read));
        assert!(!rule(Some("read_file"), Some(Category::Edit)).covers("read_file", Category::Read));
    }
}
