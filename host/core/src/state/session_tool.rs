//! What session tools change: the list of what is to be done, plans.

use super::{CallStage, Plan, SessionState};
use crate::event::Event;
use crate::ids::PlanId;

impl SessionState {
    /// The plans that wait for a person, in the order in which their calls were requested.
    pub fn plans(&self) -> Vec<Plan<'_>> {
        let calls = self.turn.iter().flat_map(|turn| turn.calls());
        calls
            .filter_map(|call| match &call.stage {
                CallStage::Planned { plan, title, text } => Some(Plan { plan: *plan, call, title, text }),
                _ => None,
            })
            .collect()
    }

    /// The plan, if it waits for an answer.
    pub fn plan(&self, id: PlanId) -> Option<Plan<'_>> {
        self.plans().into_iter().find(|plan| plan.plan == id)
    }

    pub(super) fn apply_session_tool(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::TodosChanged { todos, .. } => self.todos.clone_from(todos),
            Event::PlanSubmitted { plan, call, title, text } => {
                let turn = self.turn.as_mut().ok_or("no turn is under way")?;
                let (plan, title, text) = (*plan, title.clone(), text.clone());
                turn.call_mut(*call)?.stage = CallStage::Planned { plan, title, text };
            }
            // The end of its call follows, and what the model is told.
            Event::PlanAnswered { plan, .. } | Event::PlanWithdrawn { plan } => {
                self.plan(*plan).ok_or("there is no such plan")?;
            }
            _ => return Err("it is not about a session tool"),
        }
        Ok(())
    }
}
