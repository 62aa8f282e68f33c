//! Limits under their ceilings.
//!
//! Promise: no limit is above the machine's ceiling for it, and `max-steps` is not above
//! `limits.turn-steps-max`. A person who asked for more is told; a default gives way silently.
//!
//! Not here: an untrusted project's narrowing (`narrow`).

use crate::layer::{Layer, strongest};
use crate::limits::{RawToolLimits, RawTurnLimits, ToolLimits, TurnLimits};
use crate::problem::{Fault, Problem};
use crate::raw::{RawCeiling, RawConfig};
use crate::source::{Source, Sourced};

/// The limits of turns.
pub(crate) fn turn_limits(layers: &[Layer], problems: &mut Vec<Problem>) -> TurnLimits {
    TurnLimits::build(|key| {
        limit(layers, RawTurnLimits::GROUP, key, problems, &|raw| raw.limits.get(key), &|ceiling| {
            ceiling.limits.get(key)
        })
    })
}

/// The limits of tool calls.
pub(crate) fn tool_limits(layers: &[Layer], problems: &mut Vec<Problem>) -> ToolLimits {
    ToolLimits::build(|key| {
        limit(layers, RawToolLimits::GROUP, key, problems, &|raw| raw.tool_limits.get(key), &|ceiling| {
            ceiling.tool_limits.get(key)
        })
    })
}

/// One limit under its ceiling. The built-in value gives way; every other is a person's, who is told.
fn limit(
    layers: &[Layer],
    group: &str,
    key: &str,
    problems: &mut Vec<Problem>,
    get: &dyn Fn(&RawConfig) -> Option<u64>,
    get_ceiling: &dyn Fn(&RawCeiling) -> Option<u64>,
) -> Sourced<u64> {
    let name = format!("{group}.{key}");
    let ceiling = strongest(layers, |raw| get_ceiling(raw.ceiling.as_ref()?));
    let found = layers.iter().rev().find_map(|layer| Some((layer, get(&layer.raw)?)));
    match (found, ceiling) {
        (Some((layer, asked)), Some(ceiling)) if asked > ceiling.value => {
            if layer.source != Source::BuiltIn {
                let by = format!("ceiling.{name} in {}", ceiling.source);
                let fault = Fault::AboveCeiling { asked, ceiling: ceiling.value, by };
                problems.push(layer.problem(&name, fault));
            }
            ceiling
        }
        (Some((layer, value)), _) => Sourced::new(value, layer.source.clone()),
        (None, _) => {
            let (origin, fault) = (Source::BuiltIn, Fault::NoBuiltInValue);
            problems.push(Problem { origin, line: None, key: name, fault });
            Sourced::new(0, Source::BuiltIn)
        }
    }
}

/// `max-steps` under `limits.turn-steps-max`: a weaker layer's gives way, an equal or stronger one's
/// contradicts, and the person is told.
pub(crate) fn max_steps(layers: &[Layer], limits: &TurnLimits, problems: &mut Vec<Problem>) -> Sourced<u64> {
    let most = &limits.turn_steps_max;
    let found = layers.iter().rev().find_map(|layer| Some((layer, layer.raw.max_steps?)));
    let Some((layer, asked)) = found else { return most.clone() };
    if asked <= most.value {
        return Sourced::new(asked, layer.source.clone());
    }
    if layer.source.strength() >= most.source.strength() {
        let by = format!("limits.turn-steps-max in {}", most.source);
        problems.push(layer.problem("max-steps", Fault::AboveCeiling { asked, ceiling: most.value, by }));
    }
    most.clone()
}
