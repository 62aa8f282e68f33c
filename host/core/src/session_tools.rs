//! Session tools: what the model asks of the session itself. A closed list, carried out by the core.
//!
//! Promise: they change nothing but the session, so they are never judged away, only by a rule that denies one by its
//! name; arguments are checked here, and what is wrong with them is said in words that the model can use.
//!
//! Not here: what follows from them (`decide`), asking the person.

use crate::item::{Category, Effects, SESSION_IMPLEMENTATION, ToolSpec};
use crate::limits::{
    PLAN_BYTES_MAX, PLAN_TITLE_CHARS_MAX, QUESTION_BYTES_MAX, QUESTION_CHOICE_BYTES_MAX, QUESTION_CHOICES_MAX,
    TODO_TEXT_CHARS_MAX, TODOS_MAX,
};
use crate::todo::Todo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Asks the person something.
pub const ASK_USER: &str = "ask_user";
/// Submits a plan for the person's approval.
pub const SUBMIT_PLAN: &str = "submit_plan";
/// Sets the list of what is to be done.
pub const TODOS: &str = "todo";

/// All of them, in the order in which they are shown to the model.
pub const NAMES: [&str; 3] = [ASK_USER, SUBMIT_PLAN, TODOS];

/// The tools as the model sees them.
pub fn specs() -> Vec<ToolSpec> {
    vec![
        spec(
            ASK_USER,
            "Ask the person and wait for the answer. Give `choices` where the answer is one of a few; with `several` \
             the person may choose more than one, and the answer has each on a line of its own. Several questions of \
             one response are asked at once.",
            json!({
                "question": { "type": "string", "minLength": 1, "description": "What is asked." },
                "choices": {
                    "type": "array", "items": { "type": "string", "minLength": 1 }, "maxItems": QUESTION_CHOICES_MAX,
                    "description": "The answers to choose from, one line each; without them any text is an answer."
                },
                "several": { "type": "boolean", "description": "Whether several of the choices may be chosen." },
            }),
            &["question"],
        ),
        spec(
            SUBMIT_PLAN,
            "Submit a plan for the person's approval and wait for the answer. What changes something and comes after \
             it in the same response waits too.",
            json!({
                "title": { "type": "string", "minLength": 1, "description": "What the plan is about, in one line." },
                "plan": { "type": "string", "minLength": 1, "description": "The plan, Markdown." },
            }),
            &["title", "plan"],
        ),
        spec(
            TODOS,
            "Set the list of what is to be done, which the person sees. It replaces the list that was there.",
            json!({
                "todos": {
                    "type": "array", "maxItems": TODOS_MAX,
                    "items": {
                        "type": "object",
                        "properties": {
                            "text": { "type": "string", "minLength": 1, "maxLength": TODO_TEXT_CHARS_MAX },
                            "status": { "enum": ["pending", "in_progress", "done"] },
                        },
                        "required": ["text", "status"],
                        "additionalProperties": false,
                    },
                },
            }),
            &["todos"],
        ),
    ]
}

fn spec(name: &str, description: &str, properties: Value, required: &[&str]) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        }),
        category: Category::Read,
        effects: Effects::Staged,
        implementation: SESSION_IMPLEMENTATION.to_owned(),
        component: String::new(),
    }
}

/// What the model asks of the session, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionRequest {
    Ask { question: String, choices: Vec<String>, several: bool },
    Plan { title: String, plan: String },
    Todos(Vec<Todo>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskArguments {
    question: String,
    #[serde(default)]
    choices: Vec<String>,
    #[serde(default)]
    several: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanArguments {
    title: String,
    plan: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TodoArguments {
    todos: Vec<Todo>,
}

/// Reads a call's arguments, or says what is wrong with them.
pub(crate) fn parse(tool: &str, arguments: &str) -> Result<SessionRequest, String> {
    match tool {
        ASK_USER => ask(read(tool, arguments)?),
        SUBMIT_PLAN => plan(read(tool, arguments)?),
        TODOS => todos(read(tool, arguments)?),
        other => Err(format!("`{other}` is no tool of the session; there are: {}", NAMES.join(", "))),
    }
}

fn read<T: DeserializeOwned>(tool: &str, arguments: &str) -> Result<T, String> {
    serde_json::from_str(arguments).map_err(|error| format!("the arguments do not fit `{tool}`: {error}"))
}

fn ask(arguments: AskArguments) -> Result<SessionRequest, String> {
    let AskArguments { question, choices, several } = arguments;
    check_bytes("`question`", &question, QUESTION_BYTES_MAX)?;
    if choices.len() > QUESTION_CHOICES_MAX {
        return Err(format!("`choices` has {} entries, at most {QUESTION_CHOICES_MAX} can be shown", choices.len()));
    }
    for (index, choice) in choices.iter().enumerate() {
        check_bytes("an entry of `choices`", choice, QUESTION_CHOICE_BYTES_MAX)?;
        if choice.chars().any(char::is_control) || choice.trim() != choice {
            return Err(format!("{choice:?} in `choices` is not one line without spaces around it"));
        }
        if choices.iter().take(index).any(|other| other == choice) {
            return Err(format!("{choice:?} is in `choices` twice"));
        }
    }
    if several && choices.is_empty() {
        return Err("`several` makes sense only with `choices`".to_owned());
    }
    Ok(SessionRequest::Ask { question, choices, several })
}

fn plan(arguments: PlanArguments) -> Result<SessionRequest, String> {
    let PlanArguments { title, plan } = arguments;
    let chars = title.chars().count();
    if title.trim().is_empty() || chars > PLAN_TITLE_CHARS_MAX || title.chars().any(char::is_control) {
        return Err(format!(
            "`title` is one line of 1 to {PLAN_TITLE_CHARS_MAX} characters, none of them a control character such as a \
             line's end or a tab; this one has {chars} characters"
        ));
    }
    check_bytes("`plan`", &plan, PLAN_BYTES_MAX)?;
    Ok(SessionRequest::Plan { title, plan })
}

fn todos(arguments: TodoArguments) -> Result<SessionRequest, String> {
    let TodoArguments { todos } = arguments;
    if todos.len() > TODOS_MAX {
        return Err(format!("`todos` has {} entries, at most {TODOS_MAX} are kept", todos.len()));
    }
    for todo in &todos {
        let chars = todo.text.chars().count();
        if todo.text.trim().is_empty() || chars > TODO_TEXT_CHARS_MAX {
            return Err(format!("a todo's `text` has 1 to {TODO_TEXT_CHARS_MAX} characters, one has {chars}"));
        }
    }
    Ok(SessionRequest::Todos(todos))
}

fn check_bytes(what: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("{what} is empty"));
    }
    if text.len() > bytes_max {
        return Err(format!("{what} has {} bytes, at most {bytes_max} are taken", text.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_arguments_is_said() {
        let long = "x".repeat(QUESTION_BYTES_MAX + 1);
        let cases = [
            (ASK_USER, "{}".to_owned(), "missing field `question`"),
            (ASK_USER, r#"{"question":" "}"#.to_owned(), "`question` is empty"),
            (ASK_USER, format!(r#"{{"question":"{long}"}}"#), "has 16385 bytes, at most 16384"),
            (ASK_USER, r#"{"question":"a","several":true}"#.to_owned(), "only with `choices`"),
            (ASK_USER, r#"{"question":"a","choices":["b","b"]}"#.to_owned(), "twice"),
            (ASK_USER, r#"{"question":"a","choices":["b\nc"]}"#.to_owned(), "not one line"),
            (ASK_USER, r#"{"question":"a","chioces":[]}"#.to_owned(), "unknown field `chioces`"),
            (SUBMIT_PLAN, r#"{"title":"a\nb","plan":"c"}"#.to_owned(), "`title` is one line"),
            (SUBMIT_PLAN, r#"{"title":"a","plan":""}"#.to_owned(), "`plan` is empty"),
            (TODOS, r#"{"todos":[{"text":"a","status":"later"}]}"#.to_owned(), "unknown variant `later`"),
            (TODOS, r#"{"todos":[{"text":"","status":"done"}]}"#.to_owned(), "a todo's `text`"),
            ("fly", "{}".to_owned(), "no tool of the session"),
        ];
        for (tool, arguments, wrong) in cases {
            let said = parse(tool, &arguments).unwrap_err();
            assert!(said.contains(wrong), "{tool} {said}");
        }
    }

    #[test]
    fn every_tool_is_of_the_session_and_has_a_schema() {
        let specs = specs();
        assert_eq!(specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), NAMES);
        for spec in specs {
            assert!(spec.is_of_session() && spec.parameters["additionalProperties"] == json!(false));
            let foreign = ToolSpec { name: "other".to_owned(), ..spec };
            assert!(!foreign.is_of_session(), "the list is closed");
        }
    }
}
