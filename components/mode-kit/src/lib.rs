//! What the built-in modes share.
//!
//! Purpose: a mode is some text and a function from a question to an answer; this crate is everything around them:
//! bindings, the declaration that a host reads without running anything, and looking at command lines.
//!
//! Promise: no question makes a mode panic, and the same question gets the same answer. All of it also runs
//! natively, so that policies are tested as tables.
//!
//! Not here: parsing command lines, which the host does; what a mode thinks of a call.

#[cfg(feature = "cases")]
pub mod cases;
mod line;
mod reading;

pub use bindings::harness::mode::types::{
    Answer, BudgetLeft, Category, ChangeKind, CommandLine, Direction, Effects, History, ModeDescription, Question,
    Redirection, SimpleCommand, StagedChange, Subject, Trust, Verdict,
};
pub use line::{Line, look, programs};

/// The contract `wit/mode` as Rust: generated.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/mode",
        world: "mode-component",
        pub_export_macro: true,
        default_bindings_module: "mode_kit::bindings",
        additional_derives: [PartialEq],
    });
}

/// It may happen.
pub fn allow(rule: &str, words: impl Into<String>) -> Answer {
    answer(Some(Verdict::Allow), rule, words.into())
}

/// A person decides.
pub fn ask(rule: &str, words: impl Into<String>) -> Answer {
    answer(Some(Verdict::Ask), rule, words.into())
}

/// It may not happen.
pub fn deny(rule: &str, words: impl Into<String>) -> Answer {
    answer(Some(Verdict::Deny), rule, words.into())
}

/// Rules, allowances, trust that was earned and the host's default decide.
pub fn abstain(rule: &str, words: impl Into<String>) -> Answer {
    answer(None, rule, words.into())
}

fn answer(verdict: Option<Verdict>, rule: &str, words: String) -> Answer {
    Answer { verdict, rule: rule.to_owned(), words, narrowed: None }
}

/// Makes a crate the component of one mode:
/// `export_mode! { name: "plan", description: "…", instructions: "…", leads_to: ["build"], judge: judge }`, where
/// `judge` is a `fn(&Question) -> Answer`. The texts are literals without quotes, backslashes and line breaks: they
/// are also the JSON of the section `harness:mode`, where a host reads them without running anything.
///
/// Natively this is the constants `DECLARATION` and `JUDGE`, so that the same crate can be tested.
#[macro_export]
macro_rules! export_mode {
    (
        name: $name:literal,
        description: $description:literal,
        instructions: $instructions:literal,
        leads_to: [$first:literal $(, $more:literal)*],
        judge: $judge:path $(,)?
    ) => {
        /// What this mode says of itself, as its section has it.
        pub const DECLARATION: &str = concat!(
            "{\"mode\":{\"name\":\"", $name, "\",\"description\":\"", $description, "\",\"instructions\":\"",
            $instructions, "\",\"leads_to\":[\"", $first, "\"", $(",\"", $more, "\"",)* "]}}"
        );

        /// What this mode thinks of a call.
        pub const JUDGE: fn(&$crate::Question) -> $crate::Answer = $judge;

        #[cfg(target_family = "wasm")]
        const _: () = {
            // Where a host reads what this mode is without running it.
            #[used]
            #[unsafe(link_section = "harness:mode")]
            static SECTION: [u8; DECLARATION.len()] = match DECLARATION.as_bytes().first_chunk() {
                Some(bytes) => *bytes,
                None => panic!("it is as long as itself"),
            };

            struct Component;

            impl $crate::bindings::exports::harness::mode::describe::Guest for Component {
                fn describe() -> $crate::ModeDescription {
                    $crate::ModeDescription {
                        name: $name.to_owned(),
                        description: $description.to_owned(),
                        instructions: $instructions.to_owned(),
                        tools: None,
                        model: None,
                        leads_to: [$first $(, $more)*].map(str::to_owned).to_vec(),
                    }
                }
            }

            impl $crate::bindings::exports::harness::mode::judge::Guest for Component {
                fn judge(question: $crate::Question) -> $crate::Answer {
                    JUDGE(&question)
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}
