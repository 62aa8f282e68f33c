//! The ways into a component: what of its exports a call enters, and what comes back.
//!
//! Promise: whichever way it was, a run ends with one kind of answer; what was entered is decided when
//! the component is loaded.
//!
//! Not here: turning answers into outcomes (`answer`), the Store around a run (`call`).

use crate::contract::harness::tool::types::Outcome as ToolOutcome;
use crate::contract::resumable::exports::harness::tool::resumable::{
    Need, OtherOutcome, Progress, Reply as WitReply, Resumed,
};
use crate::contract::resumable::{ResumableComponent, ResumableComponentIndices};
use crate::contract::{ToolComponent, ToolComponentIndices};
use crate::guest::GuestState;
use crate::modes::PolicyEntry;
use crate::plain::PlainEntry;
use crate::tools::{Component, Kind};
use harness_core::outcome::Reply;
use harness_engine::ports::Resume;
use wasmtime::Store;
use wasmtime::component::InstancePre;

/// What a run of a tool came to.
pub(crate) enum Answer {
    /// It ended.
    Done(ToolOutcome),
    /// It cannot go on without this.
    Needs(Need, String),
}

/// Where calls enter a component.
pub(crate) enum Entry {
    /// `harness:tool/tool`.
    Tool(ToolComponentIndices),
    /// `harness:tool/resumable`.
    Resumable(ResumableComponentIndices),
    /// Its exported functions.
    Plain(PlainEntry),
    /// `harness:mode`: no tool is called there.
    Policy(PolicyEntry),
}

impl Entry {
    /// The entry of a component of that kind.
    ///
    /// # Errors
    /// If the compiled component does not have it, or of another type.
    pub(crate) fn of(component: &Component, instance_pre: &InstancePre<GuestState>) -> wasmtime::Result<Self> {
        match component.kind() {
            Kind::Tool => ToolComponentIndices::new(instance_pre).map(Self::Tool),
            Kind::Resumable => ResumableComponentIndices::new(instance_pre).map(Self::Resumable),
            kind @ (Kind::Mode | Kind::ModeWithHooks | Kind::Hooks) => {
                PolicyEntry::of(kind, instance_pre).map(Self::Policy)
            }
            Kind::Plain => PlainEntry::new(component.functions(), instance_pre.component()).map(Self::Plain),
        }
    }

    /// The entries of a policy; none where it is none.
    pub(crate) const fn policy(&self) -> Option<&PolicyEntry> {
        match self {
            Self::Policy(entry) => Some(entry),
            Self::Tool(_) | Self::Resumable(_) | Self::Plain(_) => None,
        }
    }

    /// Instantiates the component and runs one tool of it.
    ///
    /// # Errors
    /// What ended the guest.
    pub(crate) async fn call(
        &self,
        instance_pre: &InstancePre<GuestState>,
        store: &mut Store<GuestState>,
        tool: &str,
        arguments: &str,
        resume: Option<Resume>,
    ) -> wasmtime::Result<Answer> {
        let instance = instance_pre.instantiate_async(&mut *store).await?;
        match self {
            Self::Tool(indices) => {
                let component: ToolComponent = indices.load(&mut *store, &instance)?;
                component.harness_tool_tool().call_call(store, tool, arguments).await.map(Answer::Done)
            }
            Self::Resumable(indices) => {
                let component: ResumableComponent = indices.load(&mut *store, &instance)?;
                let resumed = resume.map(resumed);
                let resumable = component.harness_tool_resumable();
                Ok(match resumable.call_call(store, tool, arguments, resumed.as_ref()).await? {
                    Progress::Done(outcome) => Answer::Done(outcome),
                    Progress::Needs(needs) => Answer::Needs(needs.need, needs.state),
                })
            }
            Self::Plain(entry) => entry.call(store, &instance, tool, arguments).await.map(Answer::Done),
            Self::Policy(_) => Err(wasmtime::format_err!("it has no tools")),
        }
    }
}

fn resumed(resume: Resume) -> Resumed {
    let reply = match resume.reply {
        Reply::Answer { text } => WitReply::Answer(text),
        Reply::Unanswered => WitReply::Unanswered,
        Reply::Outcome { text, is_error } => WitReply::Outcome(OtherOutcome { text, is_error }),
    };
    Resumed { state: resume.state, reply }
}
