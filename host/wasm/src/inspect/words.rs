//! An inspection as a person reads it.
//!
//! Promise: what it could do comes first and in whole sentences; nothing of the component's own text can look
//! like a line of the host's: newlines in it become spaces.

use super::{Ability, Inspection};
use std::fmt;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}, {} bytes, {}", self.name, self.kind.word(), self.bytes, self.digest)?;
        if let Some(description) = &self.description {
            writeln!(f, "  it says: {}", line(description))?;
        }
        section(f, "it could, with a grant where a most is named", &self.could, could)?;
        section(f, "it cannot", &self.cannot, Clone::clone)?;
        section(f, "it is linked to, and always refused", &self.refused, |it| {
            format!("{} ({})", it.words, it.imports.join(", "))
        })?;
        let source = if self.is_ceiling_declared { "as its manifest declares" } else { "as its imports allow" };
        section(f, &format!("it may ask for at most, {source}"), &self.ceiling, ToString::to_string)?;
        if let Some(mode) = &self.mode {
            writeln!(f, "mode `{}`: {}", mode.name, line(&mode.description))?;
            writeln!(f, "  tells the model: {}", line(&mode.instructions))?;
            section(f, "only these tools", mode.tools.as_deref().unwrap_or_default(), Clone::clone)?;
            section(f, "leads to", &mode.leads_to, Clone::clone)?;
        }
        section(f, "hooks at", &self.hook_points, |point| point.word().to_owned())?;
        section(f, "tools", &self.tools, |tool| {
            format!("{}: {} {}", tool.name, line(&tool.description), tool.parameters)
        })?;
        if self.needs_describing {
            let what = if self.kind.is_policy() { "what it is" } else { "tools" };
            writeln!(f, "{what}: known only once it is asked, when it is installed")?;
        }
        section(f, "exports that are no tools", &self.not_offered, |it| {
            format!("{}: {}", line(&it.export), it.reason)
        })?;
        section(f, "exports", &self.exports, |export| line(export))?;
        section(f, "missing to run it here", &self.missing, |missing| line(&missing.to_string()))?;
        section(f, "sections", &self.sections, |(name, bytes)| format!("{name}, {bytes} bytes"))?;
        section(f, "made with", &self.producers, Clone::clone)?;
        let is_told = |problem: &&String| self.missing.iter().any(|missing| missing.to_string() == **problem);
        let problems: Vec<&String> = self.problems.iter().filter(|it| !is_told(it)).collect();
        section(f, "problems", &problems, |problem| line(problem))?;
        section(f, "warnings", &self.warnings, |warning| line(warning))
    }
}

fn could(ability: &Ability) -> String {
    let mut words = ability.words.clone();
    if !ability.at_most.is_empty() {
        let most: Vec<_> = ability.at_most.iter().map(|it| format!("`{it}`")).collect();
        words.push_str(&format!("; at most: {}", most.join(", ")));
    }
    words
}

fn section<T>(f: &mut fmt::Formatter<'_>, title: &str, items: &[T], words: impl Fn(&T) -> String) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(f, "{title}:")?;
    items.iter().try_for_each(|item| writeln!(f, "  - {}", words(item)))
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
