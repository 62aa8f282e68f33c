//! The capabilities in force for one call, and what it tried to use beyond them.
//!
//! Promise: in force is what both the component's own ceiling and the grants allow; what is refused is
//! recorded once, under a bound.
//!
//! Not here: what a capability covers (harness-core), requests (harness-egress judges them).

use crate::limits::CallLimits;
use crate::tools::Component;
use harness_core::grant::{CAPABILITIES_MAX, Capability, under_ceiling};

/// What one call may do.
#[derive(Debug, Default)]
pub(crate) struct Powers {
    capabilities: Vec<Capability>,
    refused: Vec<Capability>,
}

/// The capabilities in force where a component was granted these.
pub(crate) fn effective(component: &Component, granted: &[Capability]) -> Vec<Capability> {
    if component.has_manifest() {
        under_ceiling(granted, component.ceiling())
    } else {
        // What asks for nothing by name may use whatever it is given.
        granted.to_vec()
    }
}

/// The limits of a call with these capabilities.
pub(crate) fn lowered(limits: &CallLimits, capabilities: &[Capability]) -> CallLimits {
    let mut lowered = *limits;
    for capability in capabilities {
        if let Capability::Limit { limit, maximum } = capability {
            lowered.lower(*limit, *maximum);
        }
    }
    lowered
}

impl Powers {
    pub(crate) fn new(capabilities: Vec<Capability>) -> Self {
        Self { capabilities, refused: Vec::new() }
    }

    /// What is in force.
    pub(crate) fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// Whether something is in force. What is not counts as refused.
    pub(crate) fn require(&mut self, needed: &Capability) -> bool {
        let is_granted = self.capabilities.iter().any(|capability| capability.covers(needed));
        if !is_granted {
            self.refuse(needed.clone());
        }
        is_granted
    }

    /// Records what was tried and is not in force.
    pub(crate) fn refuse(&mut self, needed: Capability) {
        if self.refused.len() < CAPABILITIES_MAX && !self.refused.contains(&needed) {
            self.refused.push(needed);
        }
    }

    /// What was refused, in the order it was tried.
    pub(crate) fn take_refused(&mut self) -> Vec<Capability> {
        std::mem::take(&mut self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_core::outcome::LimitName;

    #[test]
    fn what_is_not_in_force_is_recorded_once() {
        let capability = |text: &str| text.parse::<Capability>().unwrap();
        let mut powers = Powers::new(vec![capability("kv write session")]);
        assert!(powers.require(&capability("kv read session")));
        assert!(!powers.require(&capability("question")) && !powers.require(&capability("question")));
        assert_eq!(powers.take_refused(), [capability("question")]);
    }

    #[test]
    fn limits_only_get_lower() {
        let capabilities: Vec<Capability> = ["limit fuel 7", "limit fuel 9", "limit memory-bytes 99999999999"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let limits = lowered(&CallLimits::DEFAULT, &capabilities);
        assert_eq!(limits, CallLimits { fuel: 7, ..CallLimits::DEFAULT });
        let all: Vec<_> = LimitName::ALL.iter().map(|limit| Capability::Limit { limit: *limit, maximum: 1 }).collect();
        let lowest = lowered(&CallLimits::DEFAULT, &all);
        for limit in LimitName::ALL {
            let expected = if *limit == LimitName::StackBytes { CallLimits::DEFAULT.stack_bytes } else { 1 };
            assert_eq!(lowest.maximum(*limit), expected, "{}", limit.name());
        }
    }
}
