//! The user's rules, and the examples that say what a rule is meant to cover.
//!
//! Promise: a rule without patterns reads and means what it always did.
//!
//! Not here: what follows from rules that disagree (`verdict`), their files (harness-config).

use super::VerdictKind;
use crate::item::{Category, Effects, ToolSpec};
use crate::pattern::{ArgumentPattern, Arguments};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose configuration a rule is from, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleLayer {
    /// The machine's.
    Machine,
    /// The user's.
    User,
    /// The project's.
    Project,
}

impl RuleLayer {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// A rule of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Its id, as in the configuration.
    pub id: String,
    /// The tool it is about; none for any.
    pub tool: Option<String>,
    /// The category it is about; none for any.
    pub category: Option<Category>,
    /// What it says.
    pub verdict: VerdictKind,
    /// Words for people and for the model.
    pub reason: String,
    /// The arguments it is about; empty for any.
    #[serde(default, skip_serializing_if = "ArgumentPattern::is_empty")]
    pub arguments: ArgumentPattern,
    /// Whose it is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<RuleLayer>,
}

impl Rule {
    /// A rule about every call, without words.
    pub fn new(id: impl Into<String>, verdict: VerdictKind) -> Self {
        Self {
            id: id.into(),
            tool: None,
            category: None,
            verdict,
            reason: String::new(),
            arguments: ArgumentPattern::default(),
            layer: None,
        }
    }

    pub(super) fn covers(&self, tool: &ToolSpec) -> bool {
        // A category is the component's own word: whatever makes requests is held to what is said of the network.
        let is_network = tool.effects == Effects::Requesting && self.verdict != VerdictKind::Allow;
        let covers = |it| it == tool.category || (it == Category::Network && is_network);
        self.tool.as_ref().is_none_or(|name| *name == tool.name) && self.category.is_none_or(covers)
    }

    /// Whether the rule, alone, speaks of these arguments.
    pub fn matches(&self, arguments: &Arguments) -> bool {
        match self.verdict {
            _ if self.arguments.is_empty() => true,
            VerdictKind::Allow => self.arguments.covers(arguments),
            VerdictKind::Ask | VerdictKind::Deny => self.arguments.touches(arguments),
        }
    }
}

/// What a rule is meant to match, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The rule's id.
    pub rule: String,
    /// Arguments as a JSON object, or a line of shell.
    pub text: String,
    /// Whether the rule has to match it.
    pub matches: bool,
}

impl Example {
    fn arguments(&self) -> Arguments {
        let is_object = serde_json::from_str::<serde_json::Value>(&self.text).is_ok_and(|value| value.is_object());
        if is_object { Arguments::of_unknown_tool(&self.text) } else { Arguments::of_line(&self.text) }
    }
}

/// An example that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleFault {
    /// The example.
    pub example: Example,
    /// Why the line was not understood, where that is the reason.
    pub not_understood: Option<String>,
    /// Whether the rule it names is missing.
    pub is_rule_missing: bool,
}

impl fmt::Display for ExampleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Example { rule, text, matches } = &self.example;
        if self.is_rule_missing {
            return write!(f, "there is no rule `{rule}` for the example {text:?}");
        }
        let (is, should) = if *matches { ("does not match", "should") } else { ("matches", "should not") };
        write!(f, "the rule {is} {text:?}, and {should}")?;
        match &self.not_understood {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

/// Checks what rules match against what they are meant to. Gives the examples that do not hold.
pub fn test_examples(rules: &[Rule], examples: &[Example]) -> Vec<ExampleFault> {
    let fault = |example: &Example| {
        let fault = |not_understood, is_rule_missing| ExampleFault {
            example: example.clone(),
            not_understood,
            is_rule_missing,
        };
        let Some(rule) = rules.iter().find(|rule| rule.id == example.rule) else { return Some(fault(None, true)) };
        let arguments = example.arguments();
        let not_understood = arguments.line().and_then(|line| line.as_ref().err()).map(ToString::to_string);
        (rule.matches(&arguments) != example.matches).then(|| fault(not_understood, false))
    };
    examples.iter().filter_map(fault).collect()
}
