//! `run` without a prompt on a terminal: a conversation.
//!
//! Promise: Ctrl-C stops the turn and keeps the session; a second one, or one at an empty prompt
//! twice, leaves. What was typed is in a history file that only its owner can read.

use super::drive::{Driver, TurnResult};
use super::exit_of;
use super::screen::Screen;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::installed::Installation;
use crate::settings::Settings;
use harness_core::event::TurnLimits;
use harness_core::grant::Grant;
use reedline::{
    DefaultPrompt, DefaultPromptSegment, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers, Reedline,
    ReedlineEvent, Signal, ValidationResult, Validator, default_emacs_keybindings,
};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Lines of history kept.
const HISTORY_LINES_MAX: usize = 2_000;

const HELP: &str = "\
Type a task and press Enter. Alt-Enter, or a backslash at the end of a line, begins a new line.
/help shows this, /session names the session, /exit leaves. Ctrl-C stops a turn, or leaves when pressed twice.";

/// What a conversation takes place in.
pub(super) struct Surroundings<'a> {
    pub(super) settings: &'a Settings,
    pub(super) workspace: &'a Path,
    pub(super) installation: &'a Installation,
}

/// Prompts and turns until the person leaves.
pub(super) async fn converse(
    driver: &mut Driver,
    screen: &mut Screen,
    limits: TurnLimits,
    surroundings: &Surroundings<'_>,
    is_under_way: bool,
) -> Result<Exit, Failure> {
    let Surroundings { settings, workspace, installation } = surroundings;
    let mut editor = Some(editor(&settings.resolved.storage.state_dir.value)?);
    screen.note("/help for help");
    let mut running = is_under_way;
    let mut leaving = false;
    loop {
        if running {
            match driver.until_turn_ends(screen).await? {
                TurnResult::Left => return Ok(Exit::Interrupted),
                result => {
                    // The person sees why and goes on; only leaving ends the conversation.
                    exit_of(&result, screen);
                }
            }
        }
        running = false;
        let Some(mut line_editor) = editor.take() else { return Ok(Exit::Failed) };
        let read = tokio::task::spawn_blocking(move || {
            let prompt = DefaultPrompt::new(DefaultPromptSegment::Empty, DefaultPromptSegment::Empty);
            let signal = line_editor.read_line(&prompt);
            (line_editor, signal)
        });
        let read = tokio::select! {
            read = read => read,
            () = driver.terminated() => return Ok(Exit::Interrupted),
        };
        let (line_editor, signal) = read.map_err(|error| Failure::because("reading a line", &error))?;
        editor = Some(line_editor);
        match signal.map_err(|error| Failure::because("reading from the terminal", &error))? {
            Signal::Success(line) => {
                leaving = false;
                match line.trim() {
                    "" => {}
                    "/exit" | "/quit" => return Ok(Exit::Done),
                    "/help" => screen.note(HELP),
                    "/session" => screen.note(&driver.session().id().to_string()),
                    command
                        if command.starts_with('/')
                            && !command.contains(char::is_whitespace)
                            && !command[1..].contains('/') =>
                    {
                        screen.note(&format!("there is no command {command}; /help shows those there are"));
                    }
                    _ => match prompt(driver, &line, limits, || installation.grants_now(settings, workspace)).await {
                        Ok(()) => running = true,
                        Err(failure) if failure.exit == Exit::Usage => screen.note(&failure.message),
                        Err(failure) => return Err(failure),
                    },
                }
            }
            Signal::CtrlC if leaving => return Ok(Exit::Done),
            Signal::CtrlC => {
                leaving = true;
                screen.note("Ctrl-C again leaves; the session is kept");
            }
            _ => return Ok(Exit::Done),
        }
    }
}

/// Begins a turn, with the grants that hold now. A list that cannot be read begins none.
async fn prompt(
    driver: &mut Driver,
    line: &str,
    limits: TurnLimits,
    grants: impl FnOnce() -> Result<Vec<Grant>, Failure>,
) -> Result<(), Failure> {
    driver.set_grants(grants()?).await?;
    driver.prompt(continued(line), limits).await
}

/// Lines that end in a backslash go on in the next.
struct ContinuedLines;

impl Validator for ContinuedLines {
    fn validate(&self, line: &str) -> ValidationResult {
        if line.ends_with('\\') { ValidationResult::Incomplete } else { ValidationResult::Complete }
    }
}

/// The text without the backslashes that asked for more lines.
fn continued(text: &str) -> String {
    text.replace("\\\n", "\n")
}

fn editor(state_dir: &Path) -> Result<Reedline, Failure> {
    let path = state_dir.join("history.txt");
    let failed = |error: &dyn std::error::Error| Failure::because("opening the history of prompts", error);
    // Created here, so that nobody else can read it.
    OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(|error| failed(&error))?;
    let history = FileBackedHistory::with_file(HISTORY_LINES_MAX, path).map_err(|error| failed(&error))?;
    let mut keys = default_emacs_keybindings();
    let newline = ReedlineEvent::Edit(vec![EditCommand::InsertNewline]);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, newline.clone());
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::Enter, newline);
    Ok(Reedline::create()
        .with_history(Box::new(history))
        .with_validator(Box::new(ContinuedLines))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .use_bracketed_paste(true))
}
