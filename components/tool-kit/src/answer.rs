//! From a call as it arrives (a name and JSON) to a tool's function and back.
//!
//! Promise: arguments that do not parse are `invalid-arguments` and name what is wrong with them.

use serde::de::DeserializeOwned;

use crate::{Failure, Outcome, Part, Workspace};

/// What a tool gives back when it did not fail: text, or parts of any kind.
pub trait Returned {
    /// The parts of the outcome.
    fn parts(self) -> Vec<Part>;
}

impl Returned for String {
    fn parts(self) -> Vec<Part> {
        vec![Part::Text(self)]
    }
}

impl Returned for Vec<Part> {
    fn parts(self) -> Vec<Part> {
        self
    }
}

/// Runs `run`, the tool called `known`, on `arguments`.
pub fn answer<A: DeserializeOwned, R: Returned>(
    known: &str,
    run: fn(&Workspace, A) -> Result<R, Failure>,
    workspace: &Workspace,
    name: &str,
    arguments: &str,
) -> Outcome {
    let reply = if name == known {
        match serde_json::from_str(arguments) {
            Ok(arguments) => run(workspace, arguments),
            Err(error) => Err(Failure::invalid("arguments", format!("the arguments of {known} do not fit: {error}"))),
        }
    } else {
        Err(Failure::invalid("unknown-tool", format!("this component offers {known}, not {name}")))
    };
    match reply {
        Ok(returned) => Outcome::Returned(returned.parts()),
        Err(failure) => Outcome::Failed(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Reply};

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Echo {
        text: String,
    }

    fn echo(_: &Workspace, arguments: Echo) -> Reply {
        Ok(arguments.text)
    }

    fn call(name: &str, arguments: &str) -> Outcome {
        answer("echo", echo, &Workspace::at("/nowhere"), name, arguments)
    }

    #[test]
    fn calls_the_function_with_parsed_arguments() {
        assert_eq!(call("echo", r#"{"text":"hi"}"#), Outcome::Returned(vec![Part::Text("hi".into())]));
    }

    #[test]
    fn what_does_not_fit_is_an_invalid_argument_that_names_the_fault() {
        for (name, arguments, expected) in [
            ("other", "{}", "offers echo, not other"),
            ("echo", "{}", "missing field `text`"),
            ("echo", r#"{"text":1}"#, "expected a string"),
            ("echo", r#"{"text":"a","more":1}"#, "unknown field `more`"),
            ("echo", "", "EOF"),
            ("echo", "[", "EOF"),
            ("echo", "\"text\"", "expected struct"),
        ] {
            match call(name, arguments) {
                Outcome::Failed(failure) => {
                    assert_eq!(failure.kind, ErrorKind::InvalidArguments);
                    assert!(failure.message.contains(expected), "{arguments}: {}", failure.message);
                }
                Outcome::Returned(_) => panic!("{arguments} was accepted"),
            }
        }
    }
}
