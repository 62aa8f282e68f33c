//! What a call may use: the grants in force for its component, met with those of the calls that need it.
//!
//! Promise: a call never gets more than its component was granted, than the mode allows, or than the
//! component that needs the call was granted itself.
//!
//! Not here: the component's own ceiling (the hand knows it), enforcing.

use super::{CallStage, SessionState};
use crate::grant::{Capability, Grant, meet_all};
use crate::ids::{CallId, TimeMs};

impl SessionState {
    /// What a call of the turn under way may use if it started `now`: empty for a tool that is no component's.
    ///
    /// A call that another call needs gets what both were granted. A tool without a component has no grants and
    /// takes none away: it is judged alone.
    pub fn granted(&self, call: CallId, now: TimeMs) -> Vec<Capability> {
        let Some(turn) = &self.turn else { return Vec::new() };
        let mut granted: Option<Vec<Capability>> = None;
        let mut next = turn.call(call);
        while let Some(call) = next {
            let component = self.tool(&call.tool).map_or("", |tool| tool.component.as_str());
            granted = match granted {
                None if component.is_empty() => return Vec::new(),
                None => Some(self.granted_to(component, now)),
                Some(inner) if component.is_empty() => Some(inner),
                Some(inner) => {
                    let own = self.granted_to(component, now);
                    // What the hand says was in force counts the component's own ceiling too.
                    let own = match &call.stage {
                        CallStage::Awaiting { in_force, .. } if !in_force.is_empty() => meet_all(&own, in_force),
                        _ => own,
                    };
                    Some(meet_all(&inner, &own))
                }
            };
            next = call.parent.and_then(|parent| turn.call(parent));
        }
        let granted = granted.unwrap_or_default();
        self.context.as_ref().map_or_else(Vec::new, |context| context.approve.narrows(granted))
    }

    /// What a component was granted and has not expired `now`, whatever the mode.
    pub fn granted_to(&self, component: &str, now: TimeMs) -> Vec<Capability> {
        let in_force = |grant: &&Grant| grant.component == component && grant.until.is_none_or(|until| now < until);
        self.grants.iter().filter(in_force).map(|grant| grant.capability.clone()).collect()
    }
}
