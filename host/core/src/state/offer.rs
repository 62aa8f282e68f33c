//! What a person who is asked can answer, to be shown.
//!
//! Promise: pure, and only what would be taken: a boundary is asked about each time, and a component's own call of a
//! tool is allowed once.

use super::{Call, CallStage, SessionState};
use crate::event::{Answer, AnswerCoverage};
use crate::grant::Scope;
use crate::ids::ApprovalId;
use crate::item::{Category, Effects};
use crate::pattern::{Arguments, suggest};

/// Which calls an offered answer covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OfferKind {
    /// This one.
    Once,
    /// Those with the same arguments.
    Exact,
    /// Those that a pattern covers. The pattern can be edited before it is sent.
    Pattern,
    /// Those of the tool.
    Tool,
    /// Those of tools of the category.
    Category,
}

/// An answer that can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which calls it covers.
    pub kind: OfferKind,
    /// What it means, for the person.
    pub words: String,
    /// The answer, for the session. Another scope and an end may be put into it.
    pub answer: Answer,
}

/// Whether an ask may be answered for later calls too.
pub(crate) fn may_allow_more(call: &Call) -> bool {
    matches!(&call.stage, CallStage::Asked { rule, .. } if call.parent.is_none() && !rule.starts_with("boundary."))
}

/// Whether an ask may be answered with other arguments: nothing of the call has left its layer.
pub(crate) fn may_be_edited(call: &Call) -> bool {
    call.reported.is_none() && call.going_on.is_none() || call.effects == Some(Effects::Staged)
}

impl SessionState {
    /// What can be answered to an approval besides no, narrowest first; nothing where it does not wait for an answer.
    pub fn offers(&self, approval: ApprovalId) -> Vec<Offer> {
        let Some(call) = self.asked(approval) else { return Vec::new() };
        let mut offers = vec![Offer { kind: OfferKind::Once, words: "this once".to_owned(), answer: Answer::Yes }];
        let Some(tool) = self.tool(&call.tool).filter(|_| may_allow_more(call)) else { return offers };
        let name = &tool.name;
        let mut offer = |kind, words: String, coverage| {
            let answer = Answer::Allow { coverage, scope: Scope::Session, until: None };
            offers.push(Offer { kind, words, answer });
        };
        offer(OfferKind::Exact, format!("{name} with exactly these arguments"), AnswerCoverage::Exact);
        if let Some(pattern) = suggest(&Arguments::of(tool, &call.arguments)) {
            let commands = pattern.command.iter().map(|it| format!("`{it}`"));
            let fields = pattern.arguments.iter().map(|(name, glob)| format!("{name} `{}`", glob.as_str()));
            let words = format!("{name} where it is {}", commands.chain(fields).collect::<Vec<_>>().join(" and "));
            offer(OfferKind::Pattern, words, AnswerCoverage::Pattern { pattern });
        }
        offer(OfferKind::Tool, format!("every call of {name}"), AnswerCoverage::Tool);
        let what = match tool.category {
            Category::Read => "only reads",
            Category::Edit => "changes files",
            Category::Execute => "runs commands",
            Category::Network => "reaches the network",
            Category::Other => "is of no other category",
        };
        offer(OfferKind::Category, format!("every tool that {what}"), AnswerCoverage::Category);
        offers
    }

    /// Whether an approval can be answered with other arguments.
    pub fn can_edit(&self, approval: ApprovalId) -> bool {
        self.asked(approval).is_some_and(may_be_edited)
    }
}
